package replay

import (
	"context"
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
