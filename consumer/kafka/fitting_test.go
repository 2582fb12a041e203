package kafka_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// TestARecordThatIsAllHeadersOrKeyHoldsUpNoOther sends orders of whose dead letters not the value is too much, and ones whose own headers say what verdict's say.
func TestARecordThatIsAllHeadersOrKeyHoldsUpNoOther(t *testing.T) {
	long := []byte(strings.Repeat("x", 4000))
	for name, hostile := range map[string]*kgo.Record{
		"headers":            {Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: "long", Value: long}}},
		"key":                {Key: long},
		"value left out":     {Key: []byte("k"), Headers: []kgo.RecordHeader{{Key: consumer.HeaderValueBytes, Value: long}}},
		"key and value gone": {Key: long, Headers: []kgo.RecordHeader{{Key: consumer.HeaderValueBytes, Value: []byte("5")}, {Key: consumer.HeaderBare, Value: []byte("true")}}},
	} {
		eachDelivery(t, func(t *testing.T, _ bool, set func(*kafka.TransportConfig)) {
			t.Log(name)
			ctx := limited(t)
			f := newFaulty(t)
			f.limit(t, ctx, "decisions", 700)
			f.limit(t, ctx, "orders.dlq", 3000)
			f.send(t, ctx, 0, "a")
			hostile := *hostile // it is given its place
			hostile.Topic, hostile.Value = "orders", []byte("large")
			if err := f.raw.ProduceSync(ctx, &hostile).FirstErr(); err != nil {
				t.Fatal(err)
			}
			f.send(t, ctx, 0, "b")
			size := func(value string) int {
				if value == "large" {
					return 1000
				}
				return 0
			}
			running(t, ctx, f.transport(t, set), size, func() { f.committed(t, ctx, 0, 3) })
			if got := fmt.Sprint(texts(f.written(t, ctx, "decisions"))); got != "[decided a decided b]" {
				t.Errorf("decisions: %s", got)
			}
			letters := f.written(t, ctx, "orders.dlq")
			if len(letters) != 1 {
				t.Fatalf("%d dead letters", len(letters))
			}
			read := readLetter(letters[0])
			if read.Code != "decision_too_large" || !read.Bare || read.LeftOut != 5 || consumer.SourceText(read.Source) != "orders/0/1" {
				t.Errorf("%+v", read)
			}
			original := consumer.Record{Key: hostile.Key, Value: []byte("large"), Time: read.SourceTime, Headers: []consumer.Header{{Key: "mine"}}}
			another := original
			another.Value = []byte("other, and longer")
			if read.Fill(&another) || !read.Fill(&original) || read.Short() {
				t.Fatalf("%+v", read)
			}
			if again := read.Again(); string(again.Key) != string(hostile.Key) || string(again.Value) != "large" || again.Headers[0].Key != "mine" {
				t.Errorf("%+v", again)
			}
		})
	}
}

func readLetter(r *kgo.Record) consumer.Letter {
	out := consumer.Record{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset, Key: r.Key, Value: r.Value}
	for _, h := range r.Headers {
		out.Headers = append(out.Headers, consumer.Header{Key: h.Key, Value: h.Value})
	}
	return consumer.ReadLetter(&out)
}
