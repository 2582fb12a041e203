package treemodel

// The costs that a kernel is chosen by, in nanoseconds or so: to find the line of one feature, to combine one word of it, and to go one level down with a
// group of eight trees.
const (
	lineCost  = 3
	wordCost  = 0.2
	levelCost = 8
	// shortRun is how many trees are too few for a run of their own between trees that another kernel scores.
	shortRun = 8
)

// planner chooses a kernel for each tree and builds the tables.
type planner struct {
	f      *forest
	scales []scale // :: feature → its scale, where it has one
	scaled []bool
	trees  []treePlan
}

type treePlan struct {
	kernel  kernelKind
	leaves  uint32
	depth   int
	fits    bool // all its features have scales
	numeric bool // no split is on categories
}

// newFast builds the kernels for a forest of so many features. A way that takes too large tables is followed by one that takes smaller ones; the last is
// the plain kernel, which takes none.
func newFast(f *forest, features int) *fast {
	p := &planner{f: f, scales: make([]scale, features), scaled: make([]bool, features)}
	categories := 0
	for feature, s := range f.gather(features) {
		if categories += s.largest; categories <= maxCategories {
			p.scales[feature], p.scaled[feature] = f.newScale(feature, &s)
		}
	}
	p.measure()
	for _, choose := range []func(*treePlan){byBits, byRanks, byRanksAlone} {
		for t := range p.trees {
			choose(&p.trees[t])
		}
		p.joinShortRuns()
		if k, cost, err := p.build(); err == nil && cost <= p.rankCost() {
			return k
		}
	}
	for t := range p.trees {
		p.trees[t].kernel = plainKernel
	}
	k, _, _ := p.build()
	return k
}

// byBits gives all trees that can be tabulated to the bit vectors, and other numeric ones to the ranks.
func byBits(t *treePlan) {
	t.kernel = plainKernel
	switch {
	case !t.fits:
	case t.leaves <= quickLeaves:
		t.kernel = quickKernel
	case t.numeric:
		t.kernel = rankedKernel
	}
}

// byRanks gives numeric trees to the ranks, and to the bit vectors only what has categories.
func byRanks(t *treePlan) {
	byBits(t)
	if t.fits && t.numeric {
		t.kernel = rankedKernel
	}
}

// byRanksAlone makes no tables but nodes.
func byRanksAlone(t *treePlan) {
	t.kernel = plainKernel
	if t.fits && t.numeric {
		t.kernel = rankedKernel
	}
}

// measure looks at every tree.
func (p *planner) measure() {
	p.trees = make([]treePlan, len(p.f.roots))
	type level struct {
		at    int32
		depth int
	}
	var stack []level
	for t := range p.trees {
		plan := &p.trees[t]
		plan.fits, plan.numeric = true, true
		stack = append(stack[:0], level{at: p.f.roots[t]})
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if at.at < 0 {
				plan.leaves++
				plan.depth = max(plan.depth, at.depth)
				continue
			}
			n := &p.f.nodes[at.at]
			plan.fits = plan.fits && p.scaled[n.feature]
			plan.numeric = plan.numeric && !n.kind.isCategorical()
			stack = append(stack, level{n.left, at.depth + 1}, level{n.right, at.depth + 1})
		}
	}
}

// joinShortRuns gives a few small numeric trees between larger ones to the kernel of those.
func (p *planner) joinShortRuns() {
	for from := 0; from < len(p.trees); {
		to := from
		numeric := true
		for to < len(p.trees) && p.trees[to].kernel == p.trees[from].kernel {
			numeric = numeric && p.trees[to].numeric
			to++
		}
		beside := from > 0 && p.trees[from-1].kernel == rankedKernel || to < len(p.trees) && p.trees[to].kernel == rankedKernel
		if p.trees[from].kernel == quickKernel && numeric && beside && to-from < shortRun {
			for t := from; t < to; t++ {
				p.trees[t].kernel = rankedKernel
			}
		}
		from = to
	}
}

// rankCost returns what the trees of the bit vectors would cost under the ranks; no limit where one of them has categories.
func (p *planner) rankCost() float64 {
	cost := 0.0
	for from := 0; from < len(p.trees); from += groupTrees {
		deepest := 0
		for _, t := range p.trees[from:min(from+groupTrees, len(p.trees))] {
			if t.kernel == quickKernel && t.numeric {
				deepest = max(deepest, t.depth)
			}
			if t.kernel == quickKernel && !t.numeric {
				deepest = 1 << 30
			}
		}
		cost += levelCost * float64(deepest)
	}
	return cost
}

// build makes the kernels that the trees are given to, and says what the bit vectors cost.
func (p *planner) build() (*fast, float64, error) {
	f := p.f
	k := &fast{f: f, simple: f.outputs == 1 && f.vector == 0 && f.linear == nil}
	byBits, byRank := p.features()
	scale := make([]uint16, len(p.scales))
	q := quickBuilder{f: f, scale: scale}
	for feature, s := range p.scales {
		if !byBits[feature] && !byRank[feature] {
			continue
		}
		if len(k.scales) == maxSlots {
			return nil, 0, errTables
		}
		scale[feature] = uint16(len(k.scales))
		k.scales = append(k.scales, s)
	}
	q.scales = k.scales
	r := rankedBuilder{f: f, scales: k.scales, scale: scale, slot: make(map[uint32]uint16)}
	for t := range p.trees {
		p.addTree(k, &q, &r, t)
	}
	if len(r.slot) > maxSlots {
		return nil, 0, errTables
	}
	var err error
	if k.quick, err = q.finish(); err != nil {
		return nil, 0, err
	}
	k.ranked, k.first = r.finish(), q.first
	k.bytes = k.size()
	return k, k.quick.cost(), nil
}

// addTree adds tree t to its kernel, in a unit with those before it where they have the same.
func (p *planner) addTree(k *fast, q *quickBuilder, r *rankedBuilder, t int) {
	kernel := p.trees[t].kernel
	n := len(k.units)
	if n == 0 || k.units[n-1].kernel != kernel {
		q.end()
		r.end()
		k.units = append(k.units, unit{kernel: kernel, tree: uint32(t)})
		u := &k.units[n]
		switch kernel {
		case quickKernel:
			u.from = uint32(len(q.q.runs))
		case rankedKernel:
			u.from = uint32(len(r.r.groups))
		default:
			u.from = uint32(t)
		}
	}
	u := &k.units[len(k.units)-1]
	switch kernel {
	case quickKernel:
		q.add(t)
		u.to = uint32(len(q.q.runs))
	case rankedKernel:
		r.add(t)
		u.to = uint32(len(r.r.groups))
	default:
		u.to = uint32(t) + 1
	}
}

// features says which features the trees of each kernel ask.
func (p *planner) features() (byBits, byRank []bool) {
	byBits, byRank = make([]bool, len(p.scales)), make([]bool, len(p.scales))
	for t, plan := range p.trees {
		into := byBits
		switch plan.kernel {
		case plainKernel:
			continue
		case rankedKernel:
			into = byRank
		case quickKernel:
		}
		p.f.each(p.f.roots[t], func(node int32) { into[p.f.nodes[node].feature] = true })
	}
	return byBits, byRank
}

// cost returns what a row takes without what every kernel does.
func (q *quick) cost() float64 {
	cost := 0.0
	for _, r := range q.runs {
		cost += float64(r.askedTo-r.askedFrom) * (lineCost + wordCost*float64(r.words))
	}
	return cost + wordCost*float64(len(q.extras))/8
}

// size returns the bytes of the tables.
func (k *fast) size() int {
	q := &k.quick
	n := 8*len(q.table) + 16*len(q.extras) + 12*len(q.cells) + 8*len(q.places) + 24*len(q.runs) + 2*len(q.asked)
	n += 8*len(k.ranked.nodes) + 4*len(k.ranked.leaves) + 36*len(k.ranked.groups) + 12*len(k.ranked.slots)
	for i := range k.scales {
		n += 8*(len(k.scales[i].keys)+len(k.scales[i].shown)) + 2*len(k.scales[i].categories)
	}
	return n
}
