package replay

import (
	"math"
	"slices"
	"strings"

	"verdict/preprocess"
)

// class is what features have in common that the same orders may change.
type class struct{ by []influence }

// influence is preprocess.Influence in the verifier's terms.
type influence struct {
	entity    int // in verifier.entities; -1: any
	near, far int64
	labels    bool
}

// maxClasses is how many classes a set of them has bits for. Features beyond go into the last, which is then of all that may change them.
const maxClasses = 64

// classify sorts features by what may change them.
func (v *verifier) classify(features [][]preprocess.Influence) {
	for _, all := range features {
		var c class
		for _, one := range all {
			entity := slices.IndexFunc(v.entities, func(e entity) bool { return e.name == one.Entity })
			c.by = append(c.by, influence{entity, one.Near.Microseconds(), one.Far.Microseconds(), one.Labels})
			v.reach = max(v.reach, one.Far.Microseconds())
		}
		at := slices.IndexFunc(v.classes, func(of class) bool { return slices.Equal(of.by, c.by) })
		switch {
		case at >= 0:
		case len(v.classes) < maxClasses:
			at = len(v.classes)
			v.classes = append(v.classes, c)
		default:
			at = maxClasses - 1
			v.classes[at].by = append(v.classes[at].by, c.by...)
		}
		v.classOf = append(v.classOf, at)
	}
}

// changes returns which of the classes an order may change that lies at that age before another, of which it has the entity too: by itself, or by its labels.
func (v *verifier) changes(classes uint64, entity int, age int64, labels bool) uint64 {
	var some uint64
	for n := range v.classes {
		if classes&(1<<n) == 0 {
			continue
		}
		if slices.ContainsFunc(v.classes[n].by, func(i influence) bool {
			return (i.entity < 0 || v.sameKey(i.entity, entity)) && i.near <= age && age < i.far && (i.labels || !labels)
		}) {
			some |= 1 << n
		}
	}
	return some
}

// sameKey says whether two entities are made of the same fields: then they are one, under two names.
func (v *verifier) sameKey(a, b int) bool {
	return a == b || slices.EqualFunc(v.entities[a].key, v.entities[b].key, slices.Equal)
}

// span returns the ages of all orders that may change the class: none when far is near.
func (c *class) span() (near, far int64) {
	if len(c.by) == 0 {
		return 0, 0
	}
	near = math.MaxInt64
	for _, i := range c.by {
		near, far = min(near, i.near), max(far, i.far)
	}
	return near, far
}

// unnamed says for which features no reason was found.
func (v *verifier) unnamed(u *unexplained, was *lived) string {
	by := &v.live.kinds[was.kind]
	values := v.values.at(u.vector, len(by.names))
	var names []string
	for i, x := range v.live.values.at(was.vector, len(by.names)) {
		if bitsOf(x) != bitsOf(values[i]) && u.left&(1<<v.classOf[i]) != 0 {
			names = append(names, by.names[i])
		}
	}
	return "nothing that was found changes " + strings.Join(names, ", ")
}
