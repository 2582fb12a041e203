package schemas

import (
	"reflect"
	"slices"
)

// plan is how data of one writer's schema become records of ours.
type plan struct {
	writer  *avroType
	reader  *avroType  // nil when the writer's fields are taken as they are
	refused *Malformed // nothing of this writer can be read
}

// resolve makes the plan read by our schema. A writer that lacks what we need is found here, before its first datum.
func (p *plan) resolve(reader *avroType) {
	if reflect.DeepEqual(p.writer, reader) {
		return
	}
	r := resolver{}
	r.record(p.writer, reader)
	if len(r.faults) > 0 {
		p.refused = mismatch("schema_incompatible", r.faults)
		return
	}
	p.reader = reader
}

func (p *plan) decode(datum []byte) (Record, error) {
	if p.refused != nil {
		return nil, p.refused
	}
	rec, err := decodeAvro(p.writer, datum)
	if err != nil || p.reader == nil {
		return rec, err
	}
	return fitRecord(p.reader, rec, true)
}

// resolver holds a writer's schema against ours.
type resolver struct {
	path   Path
	faults []Fault
}

func (r *resolver) record(writer, reader *avroType) {
	former := map[string]string{} // :: our field → the name that the writer gives it
	for i := range writer.fields {
		name := writer.fields[i].name
		if at, ok := reader.place(name, i, true); ok && former[reader.fields[at].name] == "" {
			former[reader.fields[at].name] = name
		}
	}
	for i := range reader.fields {
		ours := &reader.fields[i]
		name, there := former[ours.name]
		r.path = append(r.path, ours.name)
		switch {
		case there:
			r.field(writer.fields[writer.index[name]].typ, ours.typ)
		case !ours.optional && len(r.faults) < maxFaults:
			r.faults = append(r.faults, Fault{Pointer: r.path.Pointer(), Detail: "is required, and the writer's schema does not have it"})
		}
		r.path = r.path[:len(r.path)-1]
	}
}

// field compares what is inside. What a single datum decides (a null, a symbol, a branch) is left to the datum.
func (r *resolver) field(writer, reader *avroType) {
	w, o := writer.alternatives(), reader.alternatives()
	if len(w) == 1 && len(o) == 1 && w[0].kind == avroRecord && o[0].kind == avroRecord {
		r.record(w[0], o[0])
		return
	}
	for _, a := range w {
		if slices.ContainsFunc(o, func(b *avroType) bool {
			return class(a) == class(b) || class(a) == avroLong && o[0].kind == avroString || b.isTime() && class(a) == avroLong
		}) {
			return
		}
	}
	if len(r.faults) < maxFaults && len(w) > 0 {
		r.faults = append(r.faults, Fault{Pointer: r.path.Pointer(), Detail: "is of another type in the writer's schema; must be " + reader.wants()})
	}
}

// class names the types whose values can stand for one another by one of them.
func class(t *avroType) avroKind {
	switch {
	case t.logical == decimal:
		return avroLong
	case t.isTime():
		return avroNull // as a name for times
	}
	switch t.kind {
	case avroInt, avroLong, avroFloat, avroDouble:
		return avroLong
	case avroBytes, avroString, avroFixed, avroEnum:
		return avroString
	case avroArray, avroMap, avroRecord, avroBoolean, avroNull, avroUnion:
	}
	return t.kind
}
