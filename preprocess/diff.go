package preprocess

import (
	"slices"
	"time"

	"verdict/schemas"
)

// Diff is what changes from one feature set to another. Its lists are in the order of the new set, what is gone in that of the old one.
type Diff struct {
	From schemas.Version `json:"from"`
	To   schemas.Version `json:"to"`

	Event    []Change       `json:"event"`    // of the fields that an order's id and time lie in
	Entities []Change       `json:"entities"` // Key is the entity's name
	Added    []Definition   `json:"added"`
	Removed  []Definition   `json:"removed"`
	Changed  []Redefinition `json:"changed"`
	Moved    []Move         `json:"moved"` // as few as explain the new order
	State    []Need         `json:"state"`
	Missing  []string       `json:"missing"` // features of the old set that the new one has not: a model that takes one of them cannot score the new vectors
}

// Change is what stood and what stands behind a key; "" is nothing.
type Change struct {
	Key string `json:"key"`
	Was string `json:"was"`
	Is  string `json:"is"`
}

// Definition is a feature and what it is defined as.
type Definition struct {
	Name string   `json:"name"`
	Says []Change `json:"says"` // only Key and Is
}

// Redefinition is a feature of both sets that does not mean the same in them.
type Redefinition struct {
	Name    string   `json:"name"`
	Changes []Change `json:"changes"` // of its own text; none when it means something else though it reads the same
	Because []string `json:"because"` // what it names and what has changed: features, and "entity NAME"
}

// Move is a feature's place in the vector, counted from 0.
type Move struct {
	Name string `json:"name"`
	From int    `json:"from"`
	To   int    `json:"to"`
}

// Need is a column of an entity, and how far back the old set and the new one need it: 0 is not at all.
type Need struct {
	Entity string        `json:"entity"` // its fields
	Column string        `json:"column"` // what is kept of each order, in words
	Was    time.Duration `json:"was"`
	Is     time.Duration `json:"is"`
}

// Warms says whether a backfill would have to fetch orders for the column that the old set does not keep, or not for long enough.
func (n *Need) Warms() bool { return n.Is > n.Was }

// Same says whether both sets compute the same vectors; their names and versions aside.
func (d *Diff) Same() bool {
	return len(d.Event) == 0 && len(d.Added) == 0 && len(d.Removed) == 0 && len(d.Changed) == 0 && len(d.Moved) == 0
}

// Compare returns what changes from one feature set to another.
func Compare(from, to *FeatureSet) *Diff {
	d := &Diff{From: from.Version(), To: to.Version(), Added: []Definition{}, Removed: []Definition{}, Changed: []Redefinition{}, Missing: []string{}}
	d.Event = changes(bindingOf(from.binding), bindingOf(to.binding))
	d.Entities = changes(from.saysEntities(), to.saysEntities())
	same := make(map[string]bool, len(to.features)) // :: feature of both → it means the same in both
	for i := range to.features {
		f := &to.features[i]
		at, known := from.layout.Index(f.name)
		if !known {
			d.Added = append(d.Added, to.definition(f))
			continue
		}
		r := Redefinition{Name: f.name, Changes: redefined(from.says(&from.features[at]), to.says(f))}
		r.Because = reasons(from, to, &from.features[at], f, len(r.Changes) == 0, same)
		if same[f.name] = len(r.Changes) == 0 && len(r.Because) == 0; !same[f.name] {
			d.Changed = append(d.Changed, r)
		}
	}
	for i := range from.features {
		if f := &from.features[i]; !to.has(f.name) {
			d.Removed = append(d.Removed, from.definition(f))
			d.Missing = append(d.Missing, f.name)
		}
	}
	d.Moved = moves(from.layout.Names, to.layout.Names)
	d.State = needs(from, to)
	return d
}

func (s *FeatureSet) has(name string) bool {
	_, known := s.layout.Index(name)
	return known
}

func (s *FeatureSet) definition(f *feature) Definition {
	return Definition{Name: f.name, Says: changes(nil, s.says(f))}
}

func (s *FeatureSet) saysEntities() []said {
	all := make([]said, len(s.entities))
	for i, e := range s.entities {
		all[i] = said{e.name, s.groups[e.group].fieldsOf()}
	}
	return all
}

// redefined returns what changes of a feature: a mean that becomes a max is one change, under no key.
func redefined(was, is []said) []Change {
	if was[0].key == is[0].key {
		return changes(was, is)
	}
	first := Change{Was: was[0].key + ": " + was[0].value, Is: is[0].key + ": " + is[0].value}
	return append([]Change{first}, changes(was[1:], is[1:])...)
}

// changes returns the keys behind which something else stands.
func changes(was, is []said) []Change {
	all := []Change{} // not null in JSON, as all lists here
	find := func(in []said, key string) (string, bool) {
		at := slices.IndexFunc(in, func(s said) bool { return s.key == key })
		if at < 0 {
			return "", false
		}
		return in[at].value, true
	}
	for _, s := range is {
		if before, _ := find(was, s.key); before != s.value {
			all = append(all, Change{Key: s.key, Was: before, Is: s.value})
		}
	}
	for _, s := range was {
		if _, known := find(is, s.key); !known {
			all = append(all, Change{Key: s.key, Was: s.value})
		}
	}
	return all
}

// reasons returns what two features name that is not the same in their sets. Same is of the features above; alike says that the two read the same, so that a
// name that only one of them takes for a feature was a field's in the other.
func reasons(from, to *FeatureSet, was, is *feature, alike bool, same map[string]bool) []string {
	all := []string{}
	if was.window != nil && is.window != nil {
		before, now := &from.groups[was.window.group], &to.groups[is.window.group]
		if name := to.entityOf(is.window.group); before.prefix != now.prefix && name == from.entityOf(was.window.group) {
			all = append(all, "entity "+name)
		}
	}
	before, now := from.names(was), to.names(is)
	for _, name := range now {
		if from.has(name) && !same[name] || alike && !slices.Contains(before, name) {
			all = append(all, name)
		}
	}
	for _, name := range before {
		if alike && !slices.Contains(now, name) {
			all = append(all, name)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// moves returns the features of both that do not lie on the longest run of features which are in the same order in both.
func moves(was, is []string) []Move {
	places := make(map[string]int, len(was))
	for i, name := range was {
		places[name] = i
	}
	var names []string
	for _, name := range is {
		if _, both := places[name]; both {
			names = append(names, name)
		}
	}
	longest, before := make([]int, len(names)), make([]int, len(names)) // of the run that ends here, and what stands before it
	best := -1
	for i := range names {
		longest[i], before[i] = 1, -1
		for j := range i {
			if places[names[j]] < places[names[i]] && longest[j] >= longest[i] {
				longest[i], before[i] = longest[j]+1, j
			}
		}
		if best < 0 || longest[i] > longest[best] {
			best = i
		}
	}
	stays := make(map[string]bool, len(names))
	for ; best >= 0; best = before[best] {
		stays[names[best]] = true
	}
	all := []Move{}
	for i, name := range is {
		if place, both := places[name]; both && !stays[name] {
			all = append(all, Move{Name: name, From: place, To: i})
		}
	}
	return all
}

// needs returns the columns that are not needed as before, those of the new set first.
func needs(from, to *FeatureSet) []Need {
	was, is := from.Columns(0), to.Columns(0)
	all := []Need{}
	for i := range is {
		if before := kept(was, &is[i]); before != is[i].Keep {
			all = append(all, to.need(is[i], before, is[i].Keep))
		}
	}
	for i := range was {
		if kept(is, &was[i]) == 0 {
			all = append(all, from.need(was[i], was[i].Keep, 0))
		}
	}
	return all
}

func (s *FeatureSet) need(use ColumnUse, was, is time.Duration) Need {
	entity, column := s.Describe(use)
	return Need{Entity: entity, Column: column, Was: was, Is: is}
}

// kept returns for how long a column is kept by those uses; 0 is not at all.
func kept(uses []ColumnUse, of *ColumnUse) time.Duration {
	longest := time.Duration(0)
	for i := range uses {
		if uses[i].Entity == of.Entity && uses[i].Column == of.Column {
			longest = max(longest, uses[i].Keep)
		}
	}
	return longest
}

// Lacking returns the uses of a feature set that others do not keep for as long.
func Lacking(uses, others []ColumnUse) []ColumnUse {
	var all []ColumnUse
	for i := range uses {
		if kept(others, &uses[i]) < uses[i].Keep {
			all = append(all, uses[i])
		}
	}
	return all
}

// Share says whether others keep any column of the uses, for however long.
func Share(uses, others []ColumnUse) bool {
	for i := range uses {
		if kept(others, &uses[i]) > 0 {
			return true
		}
	}
	return false
}
