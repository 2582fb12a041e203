// Package schematest makes orders, decisions and hostile bytes for the tests of all packages.
package schematest

import (
	"encoding/binary"
	"fmt"
	"math/big"
	"time"

	"github.com/twmb/avro"

	"verdict/schemas"
)

// Start is the event time of Order(0); each next order is a second later.
var Start = time.Date(2018, 6, 11, 0, 0, 24, 0, time.UTC)

// Plain is the smallest order of the default schema, as its callers send it.
const Plain = `{"order_id":"680886","occurred_at":"2018-06-11T00:00:24Z","customer_id":"3711","terminal_id":"8121","amount":75.81}`

// Order returns the JSON of the n-th of a fixed series of orders by the default schema: order ids are distinct, a hundred customers and thirty
// terminals come again and again.
func Order(n int) []byte {
	return fmt.Appendf(nil, `{"order_id":"%d","occurred_at":%q,"customer_id":"%d","terminal_id":"%d","amount":%d.%02d}`,
		100000+n, at(n).Format(time.RFC3339), n*7%100, n*11%30, amount(n)/100, amount(n)%100)
}

// AvroOrder returns the same order as Order(n) by the default schema in Avro, framed with that schema id.
func AvroOrder(id uint32, n int) ([]byte, error) {
	text, _ := schemas.DefaultText("order")
	s, err := avro.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("parsing the order's schema: %w", err)
	}
	return s.AppendEncode(Frame(id, nil), map[string]any{
		"order_id":    fmt.Sprint(100000 + n),
		"occurred_at": at(n),
		"customer_id": fmt.Sprint(n * 7 % 100),
		"terminal_id": fmt.Sprint(n * 11 % 30),
		"amount":      big.NewRat(int64(amount(n)), 100),
	})
}

func at(n int) time.Time { return Start.Add(time.Duration(n) * time.Second) }

// amount is in cents, from 0.05 to 322.55.
func amount(n int) int { return 5 + n*7919%32251 }

// Frame puts a datum into the framing of schema registries.
func Frame(id uint32, datum []byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{0}, id), datum...)
}
