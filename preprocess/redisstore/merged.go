package redisstore

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// merged is a merged column of an entity: each source's orders apart. A source (a partition) has one reader, so its part is written by one worker only, and
// whole; and it says which offset of the source it goes up to, so an order that comes again is not added again. A worker that lost its source and does not
// know it yet writes an older part beside the newer one, which is what the column was at that offset, too.
type merged struct {
	sources []*source // ascending by number
	changed bool
	all     union // of several sources
}

// source is one source's part.
type source struct {
	preprocess.Merged

	number int32
	found  []part   // what stands in Redis, ascending by offset: the last is the newest (see rewind.go for the others)
	empty  []string // fields that stand there without anything
	from   int      // which of found it goes on from
	ahead  *source  // the newest, when it goes on from an earlier one and no visit has come yet that is beyond the newest

	tail    string // its cells and sightings as they were found; "" when they have changed since
	changed bool
	mixed   bool // something was merged since found[from]
}

// mergedField is where a source's part lies that holds its orders up to that offset.
func mergedField(source int32, offset int64) string {
	return strconv.FormatInt(int64(source), 10) + ":" + strconv.FormatInt(offset, 10)
}

func readMergedField(field string) (source int32, offset int64, ok bool) {
	before, after, found := strings.Cut(field, ":")
	number, err1 := strconv.ParseInt(before, 10, 32)
	offset, err2 := strconv.ParseInt(after, 10, 64)
	return int32(number), offset, found && err1 == nil && err2 == nil && mergedField(int32(number), offset) == field
}

// part is a source's part as it stands in Redis.
type part struct {
	offset int64
	blob   string
}

// sourcesOf returns what stands in a merged column, as HGETALL answers, for each source.
func sourcesOf(answer *redis.RawCmd) ([]*source, error) {
	rest, n, err := array(answer)
	if err != nil {
		return nil, err
	}
	return readSources(&rest, n)
}

// readSources reads n strings, each field followed by its value.
func readSources(rest *reply, n int) (sources []*source, err error) {
	for ; n > 1; n -= 2 {
		field, _, err := rest.next()
		if err != nil {
			return nil, err
		}
		blob, _, err := rest.next()
		if err != nil {
			return nil, err
		}
		number, offset, ok := readMergedField(field)
		if !ok {
			return nil, errCorrupt
		}
		at := slices.IndexFunc(sources, func(s *source) bool { return s.number == number })
		if at < 0 {
			at = len(sources)
			sources = append(sources, &source{number: number})
		}
		if s := sources[at]; blob == "" {
			s.empty = append(s.empty, field)
		} else {
			s.found = append(s.found, part{offset, blob})
		}
	}
	for _, s := range sources {
		if len(s.found) == 0 {
			return nil, errCorrupt
		}
		slices.SortFunc(s.found, func(a, b part) int { return cmp.Compare(a.offset, b.offset) })
	}
	slices.SortFunc(sources, func(a, b *source) int { return cmp.Compare(a.number, b.number) })
	return sources, nil
}

// newest is the part that goes furthest.
func (s *source) newest() part { return s.found[len(s.found)-1] }

// read takes a part apart.
func (s *source) read(p part, merge *preprocess.Merging) (err error) {
	s.Merged, s.tail, err = readMerged(p.blob, s.number, p.offset, merge)
	return err
}

// source finds or makes a source's part.
func (m *merged) source(number int32, merge *preprocess.Merging) *source {
	at, known := slices.BinarySearchFunc(m.sources, number, func(s *source, n int32) int { return cmp.Compare(s.number, n) })
	if !known {
		m.sources = slices.Insert(m.sources, at, &source{Merged: preprocess.Merged{Merging: *merge}, number: number})
		m.all = union{}
	}
	return m.sources[at]
}

// applied is the last offset that is in the part.
func (s *source) applied() int64 { return s.Applied[0].Offset }

// add adds a point, and says whether it is new: beyond what its source has brought.
func (m *merged) add(p preprocess.Point, merge *preprocess.Merging, keep int64) bool {
	s := m.source(p.Arrival.Source, merge)
	if len(s.Applied) > 0 && p.Arrival.Offset <= s.applied() {
		return false
	}
	if s.Full() { // the oldest are merged
		s.tail, s.mixed, m.all = "", true, union{}
	}
	s.Add(p, keep)
	m.changed, s.changed = true, true
	if m.all.made {
		m.all.points.Add(p, forever)
	}
	return s.ahead == nil
}

// look shows what a visit asks for.
func (m *merged) look(ask *preprocess.Ask, view *preprocess.View) {
	switch len(m.sources) {
	case 0:
	case 1:
		s := m.sources[0]
		view.Points, view.Cells, view.Sightings = s.Between(ask.From, ask.To), s.Cells, s.Sightings
	default:
		if !m.all.made {
			m.all = unite(m.sources)
		}
		view.Points, view.Cells, view.Sightings = m.all.points.Between(ask.From, ask.To), m.all.cells, m.all.sightings
	}
}

// union is what several sources hold together. A cell or a value may stand in it once for each.
type union struct {
	made      bool
	points    preprocess.Series
	cells     []preprocess.Cell
	sightings []preprocess.Sighting
}

func unite(sources []*source) union {
	u := union{made: true}
	var points []preprocess.Point
	for _, s := range sources {
		points = append(points, s.Points()...)
		u.cells = append(u.cells, s.Cells...)
		u.sightings = append(u.sightings, s.Sightings...)
	}
	slices.SortFunc(points, func(a, b preprocess.Point) int { return cmp.Or(cmp.Compare(a.At, b.At), cmp.Compare(a.ID, b.ID)) })
	points = slices.CompactFunc(points, func(a, b preprocess.Point) bool { return a.At == b.At && a.ID == b.ID })
	slices.SortStableFunc(u.cells, func(a, b preprocess.Cell) int { return cmp.Compare(a.Start, b.Start) })
	slices.SortStableFunc(u.sightings, func(a, b preprocess.Sighting) int { return cmp.Compare(a.Value, b.Value) })
	u.points = preprocess.NewSeries(points)
	return u
}
