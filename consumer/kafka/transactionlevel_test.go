package kafka_test

import (
	"errors"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/consumer/kafka"
)

// TestABrokerThatDoesNotTellItsVersionsIsAnError and nothing worse: its connection may break just when it is asked.
func TestABrokerThatDoesNotTellItsVersionsIsAnError(t *testing.T) {
	c, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.ControlKey(int16(kmsg.ApiVersions), func(req kmsg.Request) (kmsg.Response, error, bool) {
		c.KeepControl()
		if asked, ok := req.(*kmsg.ApiVersionsRequest); ok && asked.ClientSoftwareName == "kadm" { // the question, not the client's own
			return nil, errors.New("broken"), true
		}
		return nil, nil, false
	})
	at := kafka.Connection{BootstrapServers: c.ListenAddrs()}
	if _, err := kafka.TransactionsOf(t.Context(), at); err == nil || errors.Is(err, kafka.ErrNoTransactions) {
		t.Errorf("it says %v", err)
	}
	if _, err := kafka.Describe(t.Context(), at); err != nil { // tells what it knows
		t.Error(err)
	}
}
