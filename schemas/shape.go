package schemas

import "math/bits"

// shape is what a spec may ask of a schema, Avro or JSON: which fields there are, and of which kinds they are once decoded.
type shape struct {
	kinds  uint16 // bit 1<<Kind for each kind that a value may have
	open   bool   // an object with fields beyond those named
	names  []string
	fields map[string]*shape
	elem   *shape // of a list of a JSON Schema; nil when it is not known
}

// add makes a field known, or merges it with one that already is (another branch of a union).
func (s *shape) add(name string, f *shape) {
	if s.fields == nil {
		s.fields = map[string]*shape{}
	}
	known, ok := s.fields[name]
	if !ok {
		s.names = append(s.names, name)
		s.fields[name] = f
		return
	}
	both := &shape{}
	both.merge(known)
	both.merge(f)
	s.fields[name] = both
}

func (s *shape) merge(o *shape) {
	s.kinds |= o.kinds
	s.open = s.open || o.open
	if s.elem == nil {
		s.elem = o.elem
	}
	for _, name := range o.names {
		s.add(name, o.fields[name])
	}
}

// at finds the shape of a path; nil and true below an open object.
func (s *shape) at(p Path) (*shape, bool) {
	for _, name := range p {
		f, ok := s.fields[name]
		if !ok {
			return nil, s.open
		}
		s = f
	}
	return s, len(p) > 0
}

// kind returns the one kind that values have, Missing when there may be several.
func (s *shape) kind() Kind {
	if bits.OnesCount16(s.kinds) != 1 {
		return Missing
	}
	return Kind(bits.TrailingZeros16(s.kinds))
}

// paths appends all dotted paths under a prefix, at most so many.
func (s *shape) paths(all []string, prefix string) []string {
	for _, name := range s.names {
		if len(all) >= maxSchemaFields {
			return all
		}
		all = append(all, prefix+name)
		all = s.fields[name].paths(all, prefix+name+".")
	}
	return all
}

// shape returns what a spec may ask of the type.
func (t *avroType) shape() *shape {
	s := &shape{}
	switch {
	case t.logical == decimal:
		s.kinds = 1 << Float
		return s
	case t.isTime():
		s.kinds = 1 << Time
		return s
	}
	switch t.kind {
	case avroNull:
	case avroBoolean:
		s.kinds = 1 << Bool
	case avroInt, avroLong:
		s.kinds = 1 << Int
	case avroFloat, avroDouble:
		s.kinds = 1 << Float
	case avroString, avroBytes, avroFixed, avroEnum:
		s.kinds = 1 << String
	case avroArray:
		s.kinds = 1 << List
	case avroMap:
		s.kinds, s.open = 1<<Object, true
	case avroRecord:
		s.kinds = 1 << Object
		for i := range t.fields {
			s.add(t.fields[i].name, t.fields[i].typ.shape())
		}
	case avroUnion:
		for _, b := range t.branches {
			s.merge(b.shape())
		}
	}
	return s
}
