package treemodel

import (
	"fmt"
	"strings"
	"sync"
)

// fast is what scores rows: each tree by the kernel that suits it. Trees that follow each other in the file under one kernel are a unit, and the units are
// gone through in the file's order, so that sums are the plain kernel's bit for bit.
type fast struct {
	f       *forest
	scales  []scale
	first   []uint32 // :: scale → the first of its classes among those of all scales; and last, the one that clears nothing
	quick   quick
	ranked  ranked
	units   []unit
	simple  bool // one output, leaves that are constants
	bytes   int  // that the tables take
	working sync.Pool
}

// unit is a run, groups or trees.
type unit struct {
	kernel   kernelKind
	from, to uint32
	tree     uint32 // its first
}

type kernelKind uint8

const (
	plainKernel kernelKind = iota
	quickKernel
	rankedKernel
)

const (
	// maxTables bounds the tables of the bit vectors.
	maxTables = 32 << 20
	// block is how many rows go through a unit before the next unit: its tables stay in the cache nearest to the processor.
	block = 32
)

// work is what a call works in.
type work struct {
	classes []uint32 // :: row × first + scale → the row's class, among those of all scales
	codes   []uint16 // :: row × slots + slot → code
	words   []uint64 // of the widest run
	exits   []uint32 // of the run with the most trees, and of a group
}

// raw sums the trees for rows of width values.
func (k *fast) raw(rows, out []float64, width int) {
	outputs := k.f.outputs
	n := len(out) / outputs
	w, _ := k.working.Get().(*work)
	if w == nil {
		w = k.newWork()
	}
	if size := min(n, block); len(w.classes) < size*len(k.first) || len(w.codes) < size*len(k.ranked.slots) {
		w.classes, w.codes = make([]uint32, size*len(k.first)), make([]uint16, size*len(k.ranked.slots))
	}
	for from := 0; from < n; from += block {
		to := min(from+block, n)
		k.block(w, rows[from*width:to*width], out[from*outputs:to*outputs], width)
	}
	k.working.Put(w)
}

func (k *fast) newWork() *work {
	words, exits := uint32(0), uint32(groupTrees)
	for _, r := range k.quick.runs {
		words, exits = max(words, r.words), max(exits, r.placesTo-r.placesFrom)
	}
	return &work{words: make([]uint64, words), exits: make([]uint32, exits)}
}

// block sums the trees for a few rows.
func (k *fast) block(w *work, rows, out []float64, width int) {
	n := len(out) / k.f.outputs
	for i := range n {
		k.look(w, i, rows[i*width:(i+1)*width])
		k.f.begin(out[i*k.f.outputs : (i+1)*k.f.outputs])
	}
	for u := range k.units {
		for i := range n {
			row := rows[i*width : (i+1)*width]
			switch {
			case !k.simple:
				k.add(w, &k.units[u], i, row, out[i*k.f.outputs:(i+1)*k.f.outputs])
			case k.f.single:
				out[i] = float64(addUnit(k, w, &k.units[u], i, row, float32(out[i])))
			default:
				out[i] = addUnit(k, w, &k.units[u], i, row, out[i])
			}
		}
	}
}

// look finds the classes of row i's values.
func (k *fast) look(w *work, i int, row []float64) {
	classes := w.classes[i*len(k.first):]
	classes[len(k.scales)] = k.first[len(k.scales)]
	for s := range k.scales {
		scale := &k.scales[s]
		x := row[scale.feature]
		if k.f.single {
			x = float64(float32(x))
		}
		classes[s] = scale.class(x)
	}
	codes := w.codes[i*len(k.ranked.slots):]
	for s := range k.ranked.slots {
		slot := &k.ranked.slots[s]
		codes[s] = slot.code(classes[slot.scale], &k.scales[slot.scale])
	}
	for s := range k.scales {
		classes[s] += k.first[s]
	}
}

// addUnit adds the unit's leaves to the one sum of row i.
func addUnit[T float32 | float64](k *fast, w *work, u *unit, i int, row []float64, sum T) T {
	leaves := k.f.leaves
	switch u.kernel {
	case quickKernel:
		return addQuick(&k.quick, leaves, &k.quick.runs[u.from], w.classes[i*len(k.first):(i+1)*len(k.first)], w.words, sum)
	case rankedKernel:
		codes := w.codes[i*len(k.ranked.slots) : (i+1)*len(k.ranked.slots)]
		exits := (*[groupTrees]uint32)(w.exits[:groupTrees])
		for g := u.from; g < u.to; g++ {
			group := &k.ranked.groups[g]
			k.ranked.exits(group, codes, exits)
			for _, leaf := range exits[:group.trees] {
				sum += T(leaves[leaf])
			}
		}
	default:
		for t := u.from; t < u.to; t++ {
			sum += T(leaves[^k.f.leaf(k.f.roots[t], row)])
		}
	}
	return sum
}

// add adds the unit's leaves to the sums of row i, whatever leaves and outputs are.
func (k *fast) add(w *work, u *unit, i int, row, out []float64) {
	t := int(u.tree)
	for at := u.from; at < u.to; at++ {
		n := 1
		switch u.kernel {
		case quickKernel:
			run := &k.quick.runs[at]
			n = int(run.placesTo - run.placesFrom)
			k.quick.exits(run, w.classes[i*len(k.first):(i+1)*len(k.first)], w.words, w.exits[:n])
		case rankedKernel:
			n = int(k.ranked.groups[at].trees)
			k.ranked.exits(&k.ranked.groups[at], w.codes[i*len(k.ranked.slots):(i+1)*len(k.ranked.slots)], (*[groupTrees]uint32)(w.exits[:groupTrees]))
		default:
			w.exits[0] = uint32(^k.f.leaf(k.f.roots[at], row))
		}
		for _, leaf := range w.exits[:n] {
			k.f.add(t, int(leaf), row, out)
			t++
		}
	}
}

// name says which kernels score the trees.
func (k *fast) name() string {
	trees := [3]uint32{}
	for i, u := range k.units {
		end := uint32(len(k.f.roots))
		if i+1 < len(k.units) {
			end = k.units[i+1].tree
		}
		trees[u.kernel] += end - u.tree
	}
	parts := make([]string, 0, len(trees))
	for kernel, name := range []string{plainKernel: "plain", quickKernel: "bit vectors", rankedKernel: "ranks"} {
		switch trees[kernel] {
		case 0:
		case uint32(len(k.f.roots)):
			return name
		default:
			parts = append(parts, fmt.Sprintf("%s (%d trees)", name, trees[kernel]))
		}
	}
	return strings.Join(parts, ", ")
}
