package consumer_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"verdict/consumer"
	"verdict/schemas"
)

// TestADeadLetterGivesItsRecordBackAsItCame writes letters of records with any headers, those that letters have themselves among them, and of records
// that were letters before.
func TestADeadLetterGivesItsRecordBackAsItCame(t *testing.T) {
	names := rapid.SampledFrom([]string{
		"traceparent", "x", consumer.HeaderErrorCode, consumer.HeaderErrorDetail, consumer.HeaderOrderSource, "__connect.errors.topic", "__connect.errors.exception.stacktrace",
		"kafka_dlt-original-offset", "kafka_dlt-other", consumer.HeaderValueBytes, consumer.HeaderCorrelation,
	})
	rapid.Check(t, func(t *rapid.T) {
		record := consumer.Record{
			Topic: "orders", Partition: rapid.Int32Range(0, 99).Draw(t, "partition"), Offset: rapid.Int64Range(0, 1<<50).Draw(t, "offset"), Time: time.UnixMilli(1_700_000_000_123).UTC(),
			Key: rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "key"), Value: rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "value"),
		}
		for range rapid.IntRange(0, 6).Draw(t, "headers") {
			record.Headers = append(record.Headers, consumer.Header{Key: names.Draw(t, "name"), Value: rapid.SliceOfN(rapid.Byte(), 0, 3).Draw(t, "text")})
		}
		want := append([]consumer.Header{}, record.Headers...)
		message := consumer.DeadLetterOf(&record, "json_syntax", "it is no JSON")
		read := consumer.ReadLetter(&consumer.Record{Topic: "dlq", Partition: 1, Offset: 7, Key: message.Key, Value: message.Value, Headers: message.Headers})
		source := schemas.Source{Topic: record.Topic, Partition: record.Partition, Offset: record.Offset}
		if read.Code != "json_syntax" || read.Detail != "it is no JSON" || read.Source != source || !read.SourceTime.Equal(record.Time) || read.LeftOut != 0 {
			t.Fatalf("%+v", read)
		}
		again := read.Again()
		want = append(want, consumer.Header{Key: consumer.HeaderRetry, Value: []byte("1")}, consumer.Header{Key: consumer.HeaderRetryOf, Value: []byte("dlq/1/7")})
		if diff := cmp.Diff(want, again.Headers); diff != "" {
			t.Fatal(diff)
		}
		if diff := cmp.Diff([][]byte{record.Key, record.Value}, [][]byte{again.Key, again.Value}); diff != "" || again.Topic != "orders" || again.Partition != record.Partition {
			t.Fatalf("%s/%d: %s", again.Topic, again.Partition, diff)
		}
	})
}

func TestARecordThatIsTriedAgainAsksForNoReplyAndCountsItsTries(t *testing.T) {
	record := consumer.Record{Topic: "orders.sync", Value: []byte("{"), Headers: []consumer.Header{
		{Key: consumer.HeaderCorrelation, Value: []byte("c")},
		{Key: consumer.HeaderReplyTopic, Value: []byte("replies")},
		{Key: consumer.HeaderReplyPartition, Value: []byte{0, 0, 0, 1}},
		{Key: consumer.HeaderDeadline, Value: []byte("1")},
		{Key: consumer.HeaderRetry, Value: []byte("1")},
		{Key: consumer.HeaderRetryOf, Value: []byte("dlq/0/3")},
	}}
	message := consumer.DeadLetterOf(&record, "json_syntax", "")
	read := consumer.ReadLetter(&consumer.Record{Topic: "dlq", Offset: 9, Headers: message.Headers, Value: message.Value})
	want := []consumer.Header{
		{Key: consumer.HeaderCorrelation, Value: []byte("c")},
		{Key: consumer.HeaderRetry, Value: []byte("2")},
		{Key: consumer.HeaderRetryOf, Value: []byte("dlq/0/9")},
	}
	if diff := cmp.Diff(want, read.Again().Headers); diff != "" || read.Retries != 1 {
		t.Fatalf("%d tries: %s", read.Retries, diff)
	}
}

func TestALetterThatWasWrittenTwiceHasOneID(t *testing.T) {
	record := consumer.Record{Topic: "a/b", Partition: 2, Offset: 5, Time: time.UnixMilli(1234)}
	id := func(offset int64, record consumer.Record) string {
		read := consumer.ReadLetter(&consumer.Record{Topic: "dlq", Offset: offset, Headers: consumer.DeadLetterOf(&record, "empty", "").Headers})
		return read.ID()
	}
	if first := id(1, record); first != "a/b/2/5@1234" || first != id(2, record) {
		t.Fatal(first)
	}
	anew := record
	anew.Time = time.UnixMilli(99)
	if id(3, record) == id(3, anew) {
		t.Fatal("a topic that was made anew has other records")
	}
}

func TestLettersOfOtherToolsAreReadByTheirHeaders(t *testing.T) {
	connect := consumer.Record{Topic: "dlq", Offset: 1, Time: time.UnixMilli(5), Headers: []consumer.Header{
		{Key: "__connect.errors.topic", Value: []byte("t")},
		{Key: "__connect.errors.partition", Value: []byte("3")},
		{Key: "__connect.errors.offset", Value: []byte("8")},
		{Key: "__connect.errors.exception.stacktrace", Value: []byte("at …")},
		{Key: "mine", Value: []byte("1")},
	}}
	read := consumer.ReadLetter(&connect)
	if read.Source != (schemas.Source{Topic: "t", Partition: 3, Offset: 8}) || len(read.Again().Headers) != 3 || read.Code != "" {
		t.Fatalf("%+v", read)
	}
	spring := consumer.Record{Topic: "dlq", Offset: 1, Headers: []consumer.Header{
		{Key: "kafka_dlt-original-topic", Value: []byte("t")},
		{Key: "kafka_dlt-original-partition", Value: []byte{0, 0, 0, 3}},
		{Key: "kafka_dlt-original-offset", Value: []byte{0, 0, 0, 0, 0, 0, 0, 8}},
	}}
	if read := consumer.ReadLetter(&spring); read.Source != (schemas.Source{Topic: "t", Partition: 3, Offset: 8}) {
		t.Fatalf("%+v", read)
	}
	nobody := consumer.Record{Topic: "dlq", Partition: 1, Offset: 4, Time: time.UnixMilli(5)}
	if read := consumer.ReadLetter(&nobody); read.Source.Topic != "" || read.ID() != "dlq/1/4@5" {
		t.Fatalf("%+v", read)
	}
}

func TestALetterHasAsManyHeadersOfItsOwnAsItSays(t *testing.T) {
	if n := len(consumer.DeadLetterOf(&consumer.Record{}, "empty", "").Headers); n != consumer.LetterHeaders {
		t.Fatalf("%d, not %d: what is cut from a letter that is too large goes by this", n, consumer.LetterHeaders)
	}
}

// FuzzReadLetter reads letters whose headers anybody may have written: three by any name, behind and before those of a true one.
func FuzzReadLetter(f *testing.F) {
	f.Add("verdict.source", []byte("orders/0/1"), "kafka_dlt-original-partition", []byte{0, 0, 0, 1}, "verdict.error.bare", []byte("true"), []byte(nil), true)
	f.Add("verdict.error.code", []byte("x"), "verdict.error.value_bytes", []byte("-5"), "verdict.retry", []byte("99999999999999999999"), []byte("{}"), false)
	f.Add("__connect.errors.topic", []byte("t"), "__connect.errors.offset", []byte("1"), "kafka_dlt-original-timestamp", []byte("12345678"), []byte("v"), false)
	f.Fuzz(func(t *testing.T, k1 string, v1 []byte, k2 string, v2 []byte, k3 string, v3, value []byte, behind bool) {
		strange := []consumer.Header{{Key: k1, Value: v1}, {Key: k2, Value: v2}, {Key: k3, Value: v3}}
		record := consumer.Record{Topic: "orders", Offset: 3, Key: []byte("key"), Value: value, Headers: strange}
		message := consumer.DeadLetterOf(&record, "empty", "why")
		read := consumer.Record{Topic: "dlq", Offset: 9, Key: message.Key, Value: message.Value, Headers: message.Headers}
		if behind {
			read.Headers = strange
		}
		letter := consumer.ReadLetter(&read)
		if letter.Retries < 0 || letter.LeftOut < 0 || letter.Source.Partition < 0 && letter.Source.Topic == "" || letter.ID() == "" {
			t.Fatalf("%+v", letter)
		}
		if again := letter.Again(); len(again.Headers) > len(strange)+2 {
			t.Fatalf("%d headers of %d", len(again.Headers), len(strange))
		}
		if value != nil && !behind && (letter.Short() || letter.Code != "empty" || letter.Source.Offset != 3) {
			t.Fatalf("a stranger's headers are taken for the letter's own: %+v", letter)
		}
	})
}

func FuzzParseSource(f *testing.F) {
	for _, text := range []string{"orders/0/1", "a/b/2/5", "//", "a/-1/2", "a/1/99999999999999999999", "a/+1/2"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, ok := consumer.ParseSource(text)
		if again, _ := consumer.ParseSource(consumer.SourceText(s)); ok && (again != s || !strings.HasPrefix(text, s.Topic+"/")) {
			t.Fatalf("%q: %+v, then %+v", text, s, again)
		}
	})
}
