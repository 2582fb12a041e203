// Command load writes a file of JSON lines to a topic that it makes: a history to be replayed. A record's time is the event time of its line, so that a topic of
// several partitions is read in the order of the file.
//
//	load --kafka localhost:9092 --topic history --partitions 8 --key customer_id orders.jsonl
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type config struct {
	kafka, topic, key, file string
	partitions              int
}

func main() {
	var c config
	flag.StringVar(&c.kafka, "kafka", "localhost:9092", "host:port")
	flag.StringVar(&c.topic, "topic", "history", "to be made")
	flag.IntVar(&c.partitions, "partitions", 1, "of the topic")
	flag.StringVar(&c.key, "key", "customer_id", "the field that is a record's key")
	flag.Parse()
	c.file = flag.Arg(0)
	n, err := load(context.Background(), &c)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	fmt.Fprintf(os.Stdout, "load: %d records on %s\n", n, c.topic)
}

func load(ctx context.Context, c *config) (n int, err error) {
	file, err := os.Open(c.file)
	if err != nil {
		return 0, err
	}
	defer func() { _ = file.Close() }() // it is only read
	client, err := kgo.NewClient(kgo.SeedBrokers(c.kafka), kgo.ProducerLinger(5*time.Millisecond), kgo.DefaultProduceTopic(c.topic))
	if err != nil {
		return 0, err
	}
	defer client.Close()
	forever := "-1" // an old history would be gone at once
	if _, err := kadm.NewClient(client).CreateTopic(ctx, int32(c.partitions), 1, map[string]*string{"retention.ms": &forever}, c.topic); err != nil {
		return 0, fmt.Errorf("making %s: %w", c.topic, err)
	}
	var failed kgo.FirstErrPromise
	lines := bufio.NewScanner(file)
	for ; lines.Scan(); n++ {
		r, err := c.record(slices.Clone(lines.Bytes()))
		if err != nil {
			return n, fmt.Errorf("line %d: %w", n+1, err)
		}
		client.Produce(ctx, r, failed.Promise())
	}
	return n, errors.Join(lines.Err(), failed.Err())
}

// record returns a line as a record. Its time is occurred_at, or of a label known_at.
func (c *config) record(line []byte) (*kgo.Record, error) {
	var fields map[string]any
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, err
	}
	for _, name := range []string{"occurred_at", "known_at"} {
		text, _ := fields[name].(string)
		if at, err := time.Parse(time.RFC3339, text); err == nil {
			return &kgo.Record{Key: fmt.Append(nil, fields[c.key]), Value: line, Timestamp: at}, nil
		}
	}
	return nil, errors.New("it has neither occurred_at nor known_at")
}
