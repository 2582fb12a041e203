package replay

import (
	"context"
	"runtime"
	"slices"

	"verdict/consumer"
)

// Topics are the records of Kafka topics, from a beginning to an end that are known when they are opened, in the order in which they are to be replayed:
// kafka.History. Poll returns io.EOF at the end; a batch is valid until the next Poll, the bytes of its values for ever. One goroutine polls; Progress may
// be asked by any.
type Topics interface {
	Poll(ctx context.Context) (*consumer.Batch, error)
	Progress() (read, total int64)
	Close()
}

// FromTopics returns the location of the records of topics. Name is how people write it; open is called when the replay begins, and once.
func FromTopics(name string, topics []string, open func(context.Context) (Topics, error)) Location {
	return Location{path: name, encoding: topicRecords, topics: topics, subscribe: open}
}

// Partitions are the partitions of Kafka topics, each with its records in the order in which they lie: kafka.History. They are counted topic by topic.
// PollPartition returns a partition's next records, which are the caller's, and io.EOF at its end; one goroutine polls a partition, several poll as many.
// Progress may be asked by any. Close is called when nobody polls any more.
type Partitions interface {
	Partitions() int
	PollPartition(ctx context.Context, place int) ([]consumer.Record, error)
	Progress() (read, total int64)
	Close()
}

// FromPartitions returns the location of the records of topics whose partitions are merged by the event times of their orders, those of one time in the order
// of the partitions, as Files are: for histories that were not written when they happened. Name is how people write it; open is called when the replay
// begins, and once. The times at which records were written count for nothing: neither for which of two orders of one time was first, nor for
// Config.Events. Of labels and decisions the partitions are read one after the other.
func FromPartitions(name string, topics []string, open func(context.Context) (Partitions, error)) Location {
	return Location{path: name, encoding: topicRecords, topics: topics, partitions: open}
}

// ByEventTime says whether the location is FromPartitions.
func (l Location) ByEventTime() bool { return l.partitions != nil }

// partitions are the partitions of topics, read as one.
type partitions struct {
	merge

	of Partitions
}

// openPartitions opens a source for each partition. All of them are read from the beginning on, and of many each is a little ahead.
func openPartitions(ctx context.Context, cfg sourceConfig) (feed, error) {
	of, err := cfg.from.partitions(ctx)
	if err != nil {
		return nil, err
	}
	p := &partitions{of: of}
	p.ended = func(*part) {}
	n := of.Partitions()
	cfg.decoders = max(1, runtime.GOMAXPROCS(0)/max(1, n))
	for place := range n {
		one := cfg
		one.from = FromTopics(cfg.from.path, cfg.from.topics, func(context.Context) (Topics, error) { return partition{of, place}, nil })
		s, err := openSource(ctx, one)
		if err != nil {
			p.close()
			return nil, err
		}
		p.hungry = append(p.hungry, &part{number: int32(place), source: s})
	}
	slices.Reverse(p.hungry) // asked from the last to the first
	return p, nil
}

func (p *partitions) far() (read, total int64, of string) {
	read, total = p.of.Progress()
	return read, total, "the topic"
}

// close ends the reading.
func (p *partitions) close() {
	p.merge.close()
	p.of.Close()
}

// partition is one of several, as topics are read.
type partition struct {
	of    Partitions
	place int
}

// Poll returns the next records, without the times at which they were written.
func (p partition) Poll(ctx context.Context) (*consumer.Batch, error) {
	records, err := p.of.PollPartition(ctx, p.place)
	if err != nil {
		return nil, err
	}
	for i := range records {
		records[i].Time = epoch
	}
	return &consumer.Batch{Records: records}, nil
}

// Progress returns nothing: how far all partitions are together is told.
func (p partition) Progress() (read, total int64) { return 0, 0 }

// Close does nothing: the others are still read.
func (p partition) Close() {}

// openTopics opens the location as a stream that has no bytes.
func (l Location) openTopics(ctx context.Context) (*stream, error) {
	from, err := l.subscribe(ctx)
	if err != nil {
		return nil, err
	}
	_, total := from.Progress()
	return &stream{topics: from, size: total, of: "the topic", close: from.Close, read: func() int64 {
		read, _ := from.Progress()
		return read
	}}, nil
}

// readTopics hands on records as they are polled.
func (s *source) readTopics(ctx context.Context) error {
	for {
		batch, err := s.stream.topics.Poll(ctx)
		if err != nil {
			return err
		}
		r := &run{records: slices.Clone(batch.Records), done: make(chan struct{})}
		if err := s.hand(ctx, r); err != nil {
			return err
		}
	}
}

// decodeRecords decodes the records of a run. A null value is a marker of a compacted topic: there is no order in it, and no label.
func (s *source) decodeRecords(ctx context.Context, records []consumer.Record) []item {
	items := make([]item, 0, len(records))
	for i := range records {
		if records[i].Value != nil {
			items = append(items, s.decode(ctx, item{offset: records[i].Offset, raw: records[i].Value, record: &records[i]}))
		}
	}
	return items
}

// names returns the topics that the location's records are known under in decisions; a file is one.
func (l Location) names() []string {
	if l.encoding == topicRecords {
		return l.topics
	}
	return []string{l.Base()}
}

// InTopics says whether the location is in Kafka.
func (l Location) InTopics() bool { return l.encoding == topicRecords }
