package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

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
	if !slices.ContainsFunc(slices.Concat(f.orders, f.labels, []string{f.report.live, f.report.verify}), inKafka) {
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
	return schemas.NewRegistry(s.schemas.registry())
}

// locations reads what may be given several times: files, whose names may be patterns or joined by commas, or one source of another kind. A file must be
// there; a cluster is asked when the replay begins.
func (s *sources) locations(texts []string, stream consumer.Stream) (replay.Location, error) {
	if len(texts) == 1 && inKafka(texts[0]) {
		return s.topics(texts[0], stream)
	}
	var files []replay.Location
	for _, text := range texts {
		if inKafka(text) {
			return replay.Location{}, fmt.Errorf("%s: topics are read alone (of one cluster several may be joined by commas)", text)
		}
		paths, err := expand(text)
		if err != nil {
			return replay.Location{}, err
		}
		for _, path := range paths {
			at, err := replay.ParseLocation(path)
			if err == nil && !at.Stdin() {
				_, err = os.Stat(path)
			}
			if err != nil {
				return replay.Location{}, err
			}
			files = append(files, at)
		}
	}
	if len(files) == 1 {
		return files[0], nil
	}
	return replay.Files(files)
}

// location reads a source that is given once, and is read in the order in which it lies.
func (s *sources) location(source string, stream consumer.Stream) (replay.Location, error) {
	at, err := s.locations([]string{source}, stream)
	if err == nil && at.ByEventTime() {
		err = errMerge
	}
	return at, err
}

// errMerge says where merge= has no meaning.
var errMerge = errors.New("merge= is of the orders of a replay")

// expand returns the files that a name stands for: itself if there is such a file, those of a pattern by their names, or those that commas join.
func expand(name string) ([]string, error) {
	if _, err := os.Stat(name); err == nil || name == "-" {
		return []string{name}, nil
	}
	if strings.Contains(name, ",") {
		var all []string
		for part := range strings.SplitSeq(name, ",") {
			paths, err := expand(part)
			if err != nil {
				return nil, err
			}
			all = append(all, paths...)
		}
		return all, nil
	}
	if !strings.ContainsAny(name, "*?[") {
		return []string{name}, nil
	}
	paths, err := filepath.Glob(name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(paths) == 0 {
		return nil, fmt.Errorf("%s: there is no such file", name)
	}
	return paths, nil
}

func (s *sources) topics(source string, stream consumer.Stream) (replay.Location, error) {
	where, query, _ := strings.Cut(source, "?")
	servers, names, err := kafka.ParseURL(where)
	if err != nil {
		return replay.Location{}, err
	}
	cfg := kafka.HistoryConfig{Connection: s.connection}
	cfg.BootstrapServers = servers
	for i, name := range names {
		if slices.Contains(names[:i], name) {
			return replay.Location{}, fmt.Errorf("%s: topic %s is named twice", source, name)
		}
		cfg.Topics = append(cfg.Topics, kafka.HistoryTopic{Name: name, Stream: stream})
	}
	byEvent, err := limit(&cfg, query, names)
	if err := errors.Join(err, cfg.Check()); err != nil {
		return replay.Location{}, err
	}
	open := func(ctx context.Context) (*kafka.History, error) { return openTopics(ctx, source, query, cfg) }
	if !byEvent {
		return replay.FromTopics(source, names, func(ctx context.Context) (replay.Topics, error) { return open(ctx) }), nil
	}
	if stream != consumer.Orders {
		return replay.Location{}, errMerge
	}
	cfg.MaxBuffered = eventBuffer
	return replay.FromPartitions(source, names, func(ctx context.Context) (replay.Partitions, error) { return open(ctx) }), nil
}

// eventBuffer is how many bytes of records are read ahead where partitions are merged by event time: orders are decoded before the merge, and then take several
// times as many.
const eventBuffer = 16 << 20

// openTopics begins to read a source.
func openTopics(ctx context.Context, source, query string, cfg kafka.HistoryConfig) (*kafka.History, error) {
	h, err := kafka.OpenHistory(ctx, cfg)
	if errors.Is(err, kafka.ErrRange) || errors.Is(err, kafka.ErrTopic) {
		err = fmt.Errorf("%w: %w", errInvalid, err)
	}
	if err != nil {
		return nil, fmt.Errorf("reading %s: %w", source, err)
	}
	if _, total := h.Progress(); query != "" && total == 0 {
		h.Close()
		return nil, fmt.Errorf("%w: reading %s: there is no record in this range", errInvalid, source)
	}
	return h, nil
}

// limit reads from= and to= of a source in Kafka, which are times of records or offsets, and says whether merge= is event.
func limit(cfg *kafka.HistoryConfig, query string, topics []string) (byEvent bool, err error) {
	values, err := url.ParseQuery(strings.ReplaceAll(query, "+", "%2B")) // of a time zone, not a space
	if err != nil {
		return false, fmt.Errorf("?%s is not from=…&to=…&merge=event", query)
	}
	for key, all := range values {
		if key != "from" && key != "to" && key != "merge" || len(all) != 1 || all[0] == "" {
			return false, fmt.Errorf("?%s is not from=…&to=…, each a time or partition:offset,…, and merge=event or merge=record", query)
		}
	}
	switch values.Get("merge") {
	case "", "record":
	case "event":
		byEvent = true
	default:
		return false, fmt.Errorf("merge=%s is not merge=event (by the orders' own times) or merge=record (by the time at which they were written)", values.Get("merge"))
	}
	if cfg.Since, cfg.Starts, err = bound(values.Get("from"), topics); err != nil {
		return false, fmt.Errorf("from: %w", err)
	}
	if cfg.Until, cfg.Ends, err = bound(values.Get("to"), topics); err != nil {
		return false, fmt.Errorf("to: %w", err)
	}
	if !cfg.Since.IsZero() && !cfg.Until.IsZero() && !cfg.Since.Before(cfg.Until) {
		return false, errors.New("from must lie before to")
	}
	for topic, partitions := range cfg.Starts {
		for partition, start := range partitions {
			if end, ok := cfg.Ends[topic][partition]; ok && start >= end {
				return false, fmt.Errorf("%s/%d: from offset %d does not lie before to offset %d", topic, partition, start, end)
			}
		}
	}
	return byEvent, nil
}

// bound reads one end of a range. Offsets of the one topic need not name it.
func bound(text string, topics []string) (time.Time, kafka.Offsets, error) {
	at, err := parseTime(text)
	if err == nil {
		return at, nil, nil
	}
	parts := strings.Split(text, ",")
	for i, part := range parts {
		if !strings.Contains(part, "/") && len(topics) == 1 {
			parts[i] = topics[0] + "/" + part
		}
	}
	offsets, bad := parseOffsets(strings.Join(parts, ","))
	if bad != nil {
		return at, nil, fmt.Errorf("%w, nor are they offsets: %w", err, bad)
	}
	for topic := range offsets {
		if !slices.Contains(topics, topic) {
			return at, nil, fmt.Errorf("an offset is given for %s, which is not read", topic)
		}
	}
	return at, offsets, nil
}
