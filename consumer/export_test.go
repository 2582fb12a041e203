package consumer

import "verdict/schemas"

// DeadLetterOf returns what is written of a record that can never be decided.
func DeadLetterOf(r *Record, code, detail string) Message {
	l := letter{record: r, stage: "VALUE_CONVERTER", why: &schemas.Malformed{Code: code, Detail: detail}}
	return l.message()
}

// Drift adds scores of a champion and a challenger one by one, and returns every population stability index on the way.
func Drift(champion, challenger []float64) []float64 {
	var r drift
	var all []float64
	for i := range champion {
		if psi, ok := r.add(champion[i], challenger[i]); ok {
			all = append(all, psi)
		}
	}
	return all
}

// RequestOf returns what a record's headers ask for: the topic, partition and deadline of the reply, and whether a trace is carried on.
func RequestOf(headers []Header) (topic string, partition int32, deadline int64, carried []Header) {
	a := readAsk(headers)
	return a.topic, a.partition, a.deadline, a.headers(nil)
}
