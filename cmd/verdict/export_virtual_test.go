//go:build synctests

package main

import (
	"context"
	"log/slog"
	"net"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"verdict/consumer"
	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/schemas"
)

// LoadConfig is verdict.yaml as serve reads it.
func LoadConfig(file string) (Config, error) {
	cfg, err := loadConfig(file, nil)
	if err == nil {
		err = cfg.validate()
	}
	return cfg, err
}

// Process is serve as a part of this process.
type Process struct{ s *service }

// Rig comes between a lane and its ends: of is the lane's worker before it is made, extract makes an extractor over another store.
type Rig func(of *consumer.Config, extract func(preprocess.Store) *preprocess.Extractor)

// NewProcess is what serve does before it opens anything.
func NewProcess(cfg Config, role string, log *slog.Logger, listen func(network, address string) (net.Listener, error), rig Rig) (*Process, error) {
	s, err := newService(cfg, role)
	if err != nil {
		return nil, err
	}
	s.log, s.kafka, s.parts.failures.log, s.listen = log, log, log, listen
	s.rig = func(of *consumer.Config) {
		rig(of, func(store preprocess.Store) *preprocess.Extractor {
			return preprocess.NewExtractor(s.parts.features, store, cfg.State.Lateness)
		})
	}
	return &Process{s}, nil
}

// Run serves until ctx ends.
func (p *Process) Run(ctx context.Context) error { return p.s.run(ctx) }

// Metrics are the process's.
func (p *Process) Metrics() *prometheus.Registry { return p.s.metrics }

// WorkerOf is a lane's worker over a store, all but its Transport, Ledger and clock.
func WorkerOf(cfg Config, store preprocess.Store) (consumer.Config, error) {
	p, err := loadParts(&cfg)
	if err != nil {
		return consumer.Config{}, err
	}
	t := cfg.Kafka.Topics
	return consumer.Config{
		Orders: p.orders, Labels: p.labels, Binding: p.features.Binding(), Extractor: preprocess.NewExtractor(p.features, store, cfg.State.Lateness), Store: store,
		Scorer: p.scorer, Decisions: schemas.NewDecisionCodec(p.registry, t.Decisions+"-value"), Events: cfg.Events.times(), Lane: "again", Topics: []string{t.Orders, t.Sync},
	}, nil
}

// StoreOf is the store of a process over a client.
func StoreOf(cfg Config, client redis.UniversalClient) (*redisstore.Store, error) {
	p, err := loadParts(&cfg)
	if err != nil {
		return nil, err
	}
	return redisstore.New(client, storeConfig(&cfg, p.features)), nil
}
