package main

import (
	"context"
	"fmt"
	"os"
	"strings"

	"verdict/consumer"
	"verdict/consumer/kafka"
	"verdict/consumer/replay"
	"verdict/schemas"
)

// sources are what is needed to read from kafka://: the connection, whose brokers each source names itself, where schemas are, and which orders live refuses.
type sources struct {
	connection kafka.Connection
	schemas    RegistryConfig
	events     consumer.EventTimes
}

// reach returns how sources in Kafka are reached. Nothing is read when there is none.
func (f *replayFlags) reach() (sources, error) {
	if !inKafka(f.orders) && !inKafka(f.labels) && !inKafka(f.report.live) && !inKafka(f.report.verify) {
		return sources{}, nil
	}
	cfg, err := loadConfig(f.config, os.Environ())
	return sources{connection: cfg.Kafka.Connection, schemas: cfg.Registry, events: cfg.Events.times()}, err
}

func inKafka(source string) bool { return strings.HasPrefix(source, "kafka://") }

// registry returns the schema registry, nil if there is none: then what lies in topics is JSON.
func (s *sources) registry() (*schemas.Registry, error) {
	if len(s.schemas.URLs) == 0 {
		return nil, nil //nolint:nilnil // none is an answer
	}
	return schemas.NewRegistry(schemas.RegistryConfig{URLs: s.schemas.URLs, User: s.schemas.User, Password: s.schemas.Password})
}

// location reads a SRC. A file must be there; a cluster is asked when the replay begins.
func (s *sources) location(source string, stream consumer.Stream) (replay.Location, error) {
	if inKafka(source) {
		return s.topics(source, stream)
	}
	at, err := replay.ParseLocation(source)
	if err == nil && !at.Stdin() {
		_, err = os.Stat(source)
	}
	return at, err
}

func (s *sources) topics(source string, stream consumer.Stream) (replay.Location, error) {
	servers, names, err := kafka.ParseURL(source)
	if err != nil {
		return replay.Location{}, err
	}
	cfg := kafka.HistoryConfig{Connection: s.connection}
	cfg.BootstrapServers = servers
	for _, name := range names {
		cfg.Topics = append(cfg.Topics, kafka.HistoryTopic{Name: name, Stream: stream})
	}
	if err := cfg.Check(); err != nil {
		return replay.Location{}, err
	}
	return replay.FromTopics(source, names, func(ctx context.Context) (replay.Topics, error) {
		h, err := kafka.OpenHistory(ctx, cfg)
		if err != nil {
			return nil, fmt.Errorf("reading %s: %w", source, err)
		}
		return h, nil
	}), nil
}
