package consumer

import (
	"encoding/binary"
	"strconv"

	"verdict/schemas"
)

// letter is a record that can never be decided, and why.
type letter struct {
	record *Record
	stage  string // of Kafka Connect's list: VALUE_CONVERTER, TRANSFORMATION, TASK_PUT
	why    *schemas.Malformed
}

// DeadLetter returns the dead letter of an order's record whose decision a Transport finds that it cannot write.
func DeadLetter(r *Record, why *schemas.Malformed) Message {
	l := letter{record: r, stage: "TASK_PUT", why: why}
	return l.message()
}

// exception is the class name that both header families ask for: tools group by it.
const exception = "verdict.Malformed"

// LetterHeaders is how many headers a dead letter has behind those that its record came with.
const LetterHeaders = 16

// message returns the dead letter: key, value and headers as they came, then what was wrong under the headers of Kafka Connect
// (org.apache.kafka.connect.runtime.errors.DeadLetterQueueReporter: all values are text) and of Spring (DeadLetterPublishingRecoverer: numbers are
// big-endian), so that the tools which people have for either can read it.
func (l *letter) message() Message {
	r := l.record
	partition, offset := strconv.Itoa(int(r.Partition)), strconv.FormatInt(r.Offset, 10)
	headers := make([]Header, 0, len(r.Headers)+LetterHeaders)
	headers = append(headers, r.Headers...)
	headers = append(headers,
		Header{HeaderErrorCode, []byte(l.why.Code)},
		Header{HeaderErrorDetail, []byte(l.why.Detail)},
		Header{HeaderOrderSource, []byte(r.Topic + "/" + partition + "/" + offset)},
		Header{"__connect.errors.topic", []byte(r.Topic)},
		Header{"__connect.errors.partition", []byte(partition)},
		Header{"__connect.errors.offset", []byte(offset)},
		Header{"__connect.errors.connector.name", []byte("verdict")},
		Header{"__connect.errors.stage", []byte(l.stage)},
		Header{"__connect.errors.exception.class.name", []byte(exception)},
		Header{"__connect.errors.exception.message", []byte(l.why.Error())},
		Header{"kafka_dlt-original-topic", []byte(r.Topic)},
		Header{"kafka_dlt-original-partition", binary.BigEndian.AppendUint32(nil, uint32(r.Partition))},
		Header{"kafka_dlt-original-offset", binary.BigEndian.AppendUint64(nil, uint64(r.Offset))},
		Header{"kafka_dlt-original-timestamp", binary.BigEndian.AppendUint64(nil, uint64(r.Time.UnixMilli()))},
		Header{"kafka_dlt-exception-fqcn", []byte(exception)},
		Header{"kafka_dlt-exception-message", []byte(l.why.Error())},
	)
	return Message{To: DeadLetters, Partition: -1, Key: r.Key, Value: r.Value, Headers: headers}
}
