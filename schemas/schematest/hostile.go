package schematest

import (
	"bytes"
	"encoding/binary"
	"math"
	"strings"
)

// Bad is a value that is no order, and the code that it must be refused with.
type Bad struct {
	Name string
	Raw  []byte
	Code string
}

// Hostile returns values that a topic of orders by the default schema must refuse, without any schema registry.
func Hostile() []Bad {
	all := []Bad{
		{"empty", nil, "empty"},
		{"magic 2", []byte{2, 0, 0, 0, 1}, "frame_magic"},
		{"frame of 1 byte", []byte{0}, "frame_short"},
		{"frame of 4 bytes", []byte{0, 0, 0, 0}, "frame_short"},
		{"1 MB", bytes.Repeat([]byte(" "), 1<<20), "too_large"},
		{"depth 65", []byte(`{"order_id":` + strings.Repeat("[", 64) + strings.Repeat("]", 64) + `}`), "json_depth"},
		{"depth 30000", []byte(strings.Repeat("[", 30000)), "json_depth"},
		{"a list", []byte(`[1]`), "schema_mismatch"},
		{"a string", []byte(`"order"`), "schema_mismatch"},
		{"no JSON", []byte(`order`), "json_syntax"},
		{"cut off", []byte(Plain[:len(Plain)-1]), "json_syntax"},
		{"trailing bytes", []byte(Plain + `x`), "json_syntax"},
		{"two documents", []byte(Plain + Plain), "json_syntax"},
		{"a comment", []byte(`{/* */}`), "json_syntax"},
		{"trailing comma", []byte(`{"order_id":"1",}`), "json_syntax"},
		{"NaN", []byte(with(`NaN`)), "json_syntax"},
		{"Infinity", []byte(with(`Infinity`)), "json_syntax"},
		{"plus", []byte(with(`+1`)), "json_syntax"},
		{"leading zero", []byte(with(`01`)), "json_syntax"},
		{"invalid UTF-8", []byte("{\"order_id\":\"\xff\"}"), "json_syntax"},
		{"lone surrogate", []byte(`{"order_id":"\ud800"}`), "json_syntax"},
		{"gzip", []byte{0x1f, 0x8b, 8, 0}, "frame_magic"},
		{"duplicate", []byte(`{"order_id":"1","order_id":"2"}`), "json_duplicate"},
		{"duplicate by escape", []byte(`{"order_id":"1","order_\u0069d":"2"}`), "json_duplicate"},
		{"duplicate below", []byte(`{"card":{"network":"a","network":"a"}}`), "json_duplicate"},
		{"1e400", []byte(with(`1e400`)), "value_range"},
		{"1e-400", []byte(with(`1e-400`)), "value_range"},
		{"2^63", []byte(with(`9223372036854775808`)), "value_range"},
		{"comma", []byte(with(`"12,50"`)), "schema_mismatch"},
		{"hexadecimal", []byte(with(`"0x10"`)), "schema_mismatch"},
		{"decimal NaN", []byte(with(`"NaN"`)), "schema_mismatch"},
		{"too many digits", []byte(with(`75.8100000000000000001`)), "schema_mismatch"},
		{"too many digits before the point", []byte(with(`123456789012345678901.5`)), "schema_mismatch"},
		{"boolean amount", []byte(with(`true`)), "schema_mismatch"},
		{"null amount", []byte(with(`null`)), "schema_mismatch"},
		{"no amount", []byte(strings.Replace(Plain, `,"amount":75.81`, "", 1)), "schema_mismatch"},
		{"unknown field", []byte(strings.Replace(Plain, `{`, `{"scrore":1,`, 1)), "json_unknown_field"},
		{"other case beside", []byte(strings.Replace(Plain, `{`, `{"Amount":1,`, 1)), "json_unknown_field"},
		{"nanoseconds as milliseconds", []byte(strings.Replace(Plain, `"2018-06-11T00:00:24Z"`, `1528675224000000000`, 1)), "timestamp_range"},
		{"a date", []byte(strings.Replace(Plain, `"2018-06-11T00:00:24Z"`, `"11.06.2018"`, 1)), "schema_mismatch"},
	}
	return all
}

// with is the smallest order with another amount.
func with(amount string) string { return strings.Replace(Plain, "75.81", amount, 1) }

// Traps is the schema that the data of HostileAvro claim to be written by. Each sits in one branch of a union, behind the id "x".
const Traps = `{"type":"record","name":"Traps","fields":[{"name":"order_id","type":"string"},{"name":"trap","type":[
	{"type":"record","name":"T0","fields":[{"name":"v","type":{"type":"array","items":"string"}}]},
	{"type":"record","name":"T1","fields":[{"name":"v","type":{"type":"map","values":"long"}}]},
	{"type":"record","name":"T2","fields":[{"name":"v","type":{"type":"array","items":"null"}}]},
	{"type":"record","name":"T3","fields":[{"name":"v","type":"string"}]},
	{"type":"record","name":"T4","fields":[{"name":"v","type":"bytes"}]},
	{"type":"record","name":"T5","fields":[{"name":"v","type":{"type":"array","items":{"type":"record","name":"Wide","fields":[{"name":"a","type":"null"},{"name":"b","type":"null"},{"name":"c","type":["null","string"]}]}}}]},
	{"type":"record","name":"T6","fields":[{"name":"v","type":"double"}]},
	{"type":"record","name":"T7","fields":[{"name":"v","type":{"type":"enum","name":"E","symbols":["A","B"]}}]},
	{"type":"record","name":"T8","fields":[{"name":"v","type":{"type":"fixed","name":"F","size":4}}]},
	{"type":"record","name":"T9","fields":[{"name":"v","type":"int"}]},
	{"type":"record","name":"T10","fields":[{"name":"v","type":"boolean"}]},
	{"type":"record","name":"T11","fields":[{"name":"v","type":{"type":"long","logicalType":"timestamp-millis"}}]}
]}]}`

// HostileAvro returns data of Traps, framed with that schema id, that must be refused in less than a millisecond and a megabyte.
func HostileAvro(id uint32) []Bad {
	trap := func(branch int64, b ...byte) []byte {
		datum := append([]byte{2, 'x'}, binary.AppendVarint(nil, branch)...)
		return Frame(id, append(datum, b...))
	}
	long := func(i int64, more ...byte) []byte { return append(binary.AppendVarint(nil, i), more...) }
	bits := func(f float64) []byte { return binary.LittleEndian.AppendUint64(nil, math.Float64bits(f)) }
	return []Bad{
		{"no datum", Frame(id, nil), "avro_decode"},
		{"array of 2^31-1", trap(0, long(math.MaxInt32)...), "avro_limit"},
		{"array of 2^62", trap(0, long(1<<62)...), "avro_limit"},
		{"map of 2^27", trap(1, long(1<<27)...), "avro_limit"},
		{"array of 2^30 nulls", trap(2, long(1<<30)...), "avro_limit"},
		{"blocks of nulls without end", trap(2, bytes.Repeat(long(10000), 100)...), "avro_limit"},
		{"block count of minInt64", trap(0, long(math.MinInt64, 0)...), "avro_limit"},
		{"negative block count with 2^40 bytes", trap(0, append(long(-1), long(1<<40)...)...), "avro_limit"},
		{"negative block size", trap(0, append(long(-1), long(-1)...)...), "avro_limit"},
		{"array of records that widen", trap(5, long(16000)...), "avro_limit"},
		{"string of 2^62", trap(3, long(1<<62)...), "avro_limit"},
		{"string of -1", trap(3, long(-1)...), "avro_limit"},
		{"bytes of minInt64", trap(4, long(math.MinInt64)...), "avro_limit"},
		{"string cut off", trap(3, long(5, 'a')...), "avro_decode"},
		{"array cut off", trap(0, long(3, 2, 'a')...), "avro_decode"},
		{"array without end", trap(0, long(1, 2, 'a')...), "avro_decode"},
		{"fixed cut off", trap(8, 1, 2), "avro_decode"},
		{"string not UTF-8", trap(3, 2, 0xff), "avro_decode"},
		{"map key twice", trap(1, 4, 2, 'a', 0, 2, 'a', 0, 0), "avro_decode"},
		{"branch 99", trap(99), "avro_decode"},
		{"branch -1", trap(-1), "avro_decode"},
		{"symbol 2", trap(7, long(2)...), "avro_decode"},
		{"symbol -1", trap(7, long(-1)...), "avro_decode"},
		{"int of 33 bits", trap(9, long(1<<32)...), "avro_decode"},
		{"long of 70 bits", trap(9, bytes.Repeat([]byte{0xff}, 10)...), "avro_decode"},
		{"boolean 2", trap(10, 2), "avro_decode"},
		{"trailing bytes", trap(10, 1, 0), "avro_decode"},
		{"NaN", trap(6, bits(math.NaN())...), "value_range"},
		{"infinity", trap(6, bits(math.Inf(-1))...), "value_range"},
		{"milliseconds beyond every time", trap(11, long(math.MaxInt64)...), "value_range"},
	}
}
