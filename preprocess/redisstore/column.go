package redisstore

import (
	"math"
	"slices"

	"github.com/redis/go-redis/v9"

	"verdict/preprocess"
)

// entity is what a batch asks for of one entity.
type entity struct {
	key     string
	columns *column // the first of them
	newest  int64   // event time of the latest visit that adds something, of which that is known
}

// column is what a batch knows of one column of an entity, or of its marks.
type column struct {
	entity *entity
	next   *column
	name   string
	key    any // in Redis
	merge  *preprocess.Merging
	marks  bool

	from, to int64 // all that is asked for lies in (from, to]
	keep     int64 // the longest that is asked for, by anyone
	adds     int   // how many points are written blind
	newest   int64 // event time of the latest of the points written
	blinds   []any // room in the command that writes them: a score, a member, and so on
	seen     []any // the points of visits that are written after they have looked, in the same way

	reply  *redis.RawCmd
	rest   reply // what is left of it
	points int   // how many are in it

	exact  preprocess.Series
	merged merged
	list   []preprocess.Mark // ascending by (At, ID, Known, Fraud)
}

// never is before all times.
const never = math.MinInt64

func (b *batch) newColumn(e *entity, ask *preprocess.Ask) column {
	c := column{entity: e, name: ask.Column, merge: ask.Merge, marks: ask.Marks, from: math.MaxInt64, to: math.MinInt64, newest: never}
	switch {
	case ask.Marks:
		c.name, c.key = "", b.store.marksKey(ask.Key)
	case ask.Merge != nil:
		c.key = b.store.mergedKey(ask.Key, ask.Column)
	default:
		c.key = b.store.columnKey(ask.Key, ask.Column)
	}
	c.keep = b.keeps.of(ask.Key, c.name)
	return c
}

// column finds what is asked for among the columns known; nil when nobody has asked for it yet.
func (e *entity) column(ask *preprocess.Ask) *column {
	for c := e.columns; c != nil; c = c.next {
		if c.marks == ask.Marks && (c.marks || c.name == ask.Column) {
			return c
		}
	}
	return nil
}

// want takes down what one visit asks for.
func (c *column) want(v *preprocess.Visit, ask *preprocess.Ask) {
	c.from, c.to, c.keep = min(c.from, ask.From), max(c.to, ask.To), max(c.keep, ask.Keep)
	if ask.Marks {
		return
	}
	if ask.Adds == preprocess.AddSeen && c.merge == nil {
		// A redelivery may bring another value, having seen more: its own point must be among what is read, so that the first one stays.
		c.from, c.to = min(c.from, v.At-1), max(c.to, v.At)
	}
	if ask.Adds != preprocess.AddNow {
		return
	}
	c.entity.newest = max(c.entity.newest, v.At)
	if c.blind(ask) {
		c.adds++
		c.newest = max(c.newest, v.At)
	}
}

// blind says whether the ask's point is written in the pipeline that reads.
func (c *column) blind(ask *preprocess.Ask) bool {
	return !c.marks && c.merge == nil && ask.Adds == preprocess.AddNow
}

// title is what errors call the column.
func (c *column) title() string {
	if c.marks {
		return "of labels"
	}
	return c.name
}

// open looks at how long the reply is.
func (c *column) open() (err error) {
	c.rest, c.points, err = array(c.reply)
	return err
}

// size is room enough for the points read and for those that the batch adds at once.
func (c *column) size() int {
	if c.marks || c.merge != nil {
		return 0
	}
	return c.points + c.adds
}

// readColumn takes a column's reply apart. Points are put where there is room for all of them and for those to come.
func (b *batch) readColumn(c *column, room []preprocess.Point, d *dedup) error {
	switch {
	case c.marks:
		return c.readMarks()
	case c.merge != nil:
		return b.openMerged(c)
	default:
		return c.readPoints(room, d)
	}
}

func (c *column) readPoints(room []preprocess.Point, d *dedup) error {
	points, valued := room[:c.points], c.name != ordersAlone
	for i := range points {
		member, _, err := c.rest.next()
		if err != nil {
			return err
		}
		if !readPoint(&points[i], member, valued) {
			return errCorrupt
		}
	}
	c.exact = preprocess.NewSeries(d.clean(points))
	return nil
}

func (c *column) readMarks() error {
	if c.points == 0 {
		return nil
	}
	c.list = make([]preprocess.Mark, c.points)
	for i := range c.list {
		member, _, err := c.rest.next()
		if err != nil {
			return err
		}
		if !readMark(&c.list[i], member) {
			return errCorrupt
		}
	}
	return nil
}

// forever keeps every point: what is too old leaves Redis, and memory is for one call.
const forever = 1 << 62

// add adds a visit's point, and says whether it is new.
func (c *column) add(v *preprocess.Visit, ask *preprocess.Ask) bool {
	p := preprocess.Point{At: v.At, Value: ask.Value, Ref: &preprocess.Ref{ID: v.ID, Arrival: v.Arrival}}
	if c.name == ordersAlone {
		p.Value = 0
	}
	if c.merge != nil {
		return c.merged.add(p, c.merge, c.keep)
	}
	before := len(c.exact.Points())
	c.exact.Add(p, forever)
	return len(c.exact.Points()) > before
}

// look shows what a visit asks for.
func (c *column) look(ask *preprocess.Ask, view *preprocess.View) {
	switch {
	case c.marks:
		from := preprocess.MarkAfter(c.list, ask.From)
		view.Marks = c.list[from:max(from, preprocess.MarkAfter(c.list, ask.To))]
	case c.merge != nil:
		c.merged.look(ask, view)
	default:
		view.Points = c.exact.Between(ask.From, ask.To)
	}
}

// mark puts a mark among those that were read, if they were.
func (e *entity) mark(m preprocess.Mark) {
	if e == nil {
		return
	}
	c := e.column(&preprocess.Ask{Marks: true})
	if c == nil {
		return
	}
	if at, known := slices.BinarySearchFunc(c.list, m, preprocess.CompareMarks); !known {
		c.list = slices.Insert(c.list, at, m)
	}
}
