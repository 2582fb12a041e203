package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"verdict/cmd/verdict/internal/bench"
	"verdict/cmd/verdict/internal/shop"
	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/consumer/replay"
	"verdict/preprocess"
	"verdict/schemas"
)

// fields says where id, time and key lie: as the flags say, else the feature set, else verdict's own order.
func (f *benchFlags) fields() (bench.OrdersConfig, error) {
	id, at, key := "order_id", "occurred_at", "customer_id"
	if f.features != "" {
		schema, err := loadSchema(anySchema)
		if err != nil {
			return bench.OrdersConfig{}, err
		}
		set, err := preprocess.Load(f.features, schema)
		if err != nil {
			return bench.OrdersConfig{}, err
		}
		id, at, key = set.Binding().ID.String(), set.Binding().Time.String(), set.PartitionKey().String()
	}
	return bench.OrdersConfig{
		ID: schemas.ParsePath(cmp.Or(f.id, id)), Time: schemas.ParsePath(cmp.Or(f.time, at)), Key: schemas.ParsePath(cmp.Or(f.key, key)), KeepTimes: f.keepTimes,
	}, nil
}

// load reads or makes the orders, and says what they are.
func (f *benchFlags) load(ctx context.Context, p *benchPlan, stdin io.Reader) (*bench.Orders, string, error) {
	orders := bench.NewOrders(p.fields)
	if f.generate {
		made := shop.New(shop.Config{Seed: f.seed, Customers: benchCustomers, Terminals: benchTerminals, Start: time.Now().UTC().Truncate(time.Second)})
		for range f.different {
			order := made.Next()
			if err := orders.Add(orderJSON(&order)); err != nil {
				return nil, "", fmt.Errorf("%w usage: made-up orders have order_id, occurred_at and customer_id: %w", errInvalid, err)
			}
		}
		return orders, fmt.Sprintf("%d made up, of %d customers at %d terminals, going round under fresh ids", orders.Len(), benchCustomers, benchTerminals), nil
	}
	left, err := f.read(ctx, p, stdin, orders)
	if err != nil {
		return nil, "", err
	}
	if orders.Len() == 0 {
		return nil, "", fmt.Errorf("%w: --orders: %s holds no order", errInvalid, f.orders)
	}
	what := fmt.Sprintf("%d of %s, going round under fresh ids", orders.Len(), f.orders)
	if left > 0 {
		what += fmt.Sprintf("; %d records before that are no orders were left out", left)
	}
	return orders, what, nil
}

// The size of the shop that makes orders up: the Handbook's customers and terminals.
const (
	benchCustomers = 5_000
	benchTerminals = 10_000
)

// maxOrderBytes bounds what the orders of a load take in memory.
const maxOrderBytes = 256 << 20

// read reads --orders.
func (f *benchFlags) read(ctx context.Context, p *benchPlan, stdin io.Reader, orders *bench.Orders) (left int, err error) {
	from := sources{connection: p.site.Kafka.Connection, schemas: p.site.Registry}
	registry, err := from.registry()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errInvalid, err)
	}
	at, err := from.location(f.orders, consumer.Orders)
	if err != nil {
		return 0, fmt.Errorf("%w: --orders: %w", errInvalid, err)
	}
	size, n := 0, 0
	left, err = replay.Read(ctx, replay.ReadConfig{From: at, Stdin: stdin, Registry: registry}, func(raw []byte, fields schemas.Record) (bool, error) {
		if !bytes.HasPrefix(raw, []byte{'{'}) { // Avro
			raw = bench.AppendRecord(nil, fields)
		}
		n++
		if err := orders.Add(raw); err != nil {
			return false, fmt.Errorf("%w: --orders: order %d: %w", errInvalid, n, err)
		}
		size += len(raw)
		return orders.Len() < f.different && size < maxOrderBytes, nil
	})
	return left, err
}

// write writes --json and --plot.
func (f *benchFlags) write(report *bench.Report) error {
	if f.json != "" {
		text, err := json.MarshalIndent(report, "", "  ")
		if err == nil {
			err = os.WriteFile(f.json, append(text, '\n'), 0o644) //nolint:gosec // figures are for everyone who may look into the folder
		}
		if err != nil {
			return fmt.Errorf("writing --json: %w", err)
		}
	}
	if f.plot == "" {
		return nil
	}
	draw := bench.Plot
	if strings.HasSuffix(f.plot, ".html") {
		draw = bench.Page
	}
	file, err := os.Create(f.plot)
	if err == nil {
		err = errors.Join(draw(file, &report.Setting, report.Stages), file.Close())
	}
	if err != nil {
		return fmt.Errorf("writing --plot: %w", err)
	}
	return nil
}

// bootstrap takes the brokers of a kafka:// target.
func bootstrap(target string) ([]string, error) {
	target = strings.TrimSuffix(target, "/")
	if strings.Count(target, "/") > 2 {
		return nil, errors.New("topics are named by --topic and --reply-topic")
	}
	servers, _, err := kafka.ParseURL(target + "/-") // it wants a topic
	return servers, err
}
