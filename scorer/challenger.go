package scorer

import (
	"fmt"
	"slices"
	"time"

	"verdict/schemas"
)

// maxBusy is how many calls' orders one challenger scores at once: of each of two lanes the present and one that it was too slow for.
const maxBusy = 4

// Why a challenger was left out of orders.
const (
	leftSlow    = "slow"     // it was not done within Patience
	leftBusy    = "busy"     // it is still at work on earlier ones
	leftFailed  = "failed"   // the model gave an error
	leftNoScore = "no_score" // the model gave no finite number
	leftAway    = "away"     // its server was away when it was loaded
	leftUnsure  = "unsure"   // whether the orders were for it could not be found out
)

// challenger is a model that scores what its champion scores, and decides nothing.
type challenger struct {
	route
	busy chan struct{} // one for each job under way
}

// job is the orders of one call that a challenger scores, on a goroutine of its own. All that it reads is its own copy: a job may outlast the call.
type job struct {
	challenger *challenger
	places     []int     // of the orders in the call
	rows       []float64 // flat, in the model's order
	scores     []float64
	err        error
	done       chan struct{} // closed when scores and err are there
	late       bool          // it was not done in time: scores and err are not to be read
}

// challenge begins the work of the challengers.
func (d *served) challenge(w *work, orders []schemas.Order, vectors []schemas.FeatureVector) {
	d.leaveAway(w, orders, vectors)
	for _, c := range d.challengers {
		j := d.jobOf(w, c, orders, vectors)
		if j == nil {
			continue
		}
		select {
		case c.busy <- struct{}{}:
		default:
			if d.patience > 0 {
				d.leave(c, leftBusy, len(j.places))
				continue
			}
			c.busy <- struct{}{}
		}
		w.jobs = append(w.jobs, j)
		go j.run()
	}
}

// jobOf returns the job of a challenger for one call, nil when none of the orders is for it.
func (d *served) jobOf(w *work, c *challenger, orders []schemas.Order, vectors []schemas.FeatureVector) *job {
	var j *job
	for i := range orders {
		if vectors[i].Values == nil {
			continue
		}
		if takes, err := c.takes(w, &orders[i]); err != nil {
			d.leave(c, leftUnsure, 1)
			continue
		} else if !takes {
			continue
		}
		if own := d.champions[w.by[i]]; own != nil && own.version == c.bundle.version {
			continue
		}
		if j == nil {
			j = &job{challenger: c, done: make(chan struct{})}
		}
		j.places = append(j.places, i)
	}
	if j == nil {
		return nil
	}
	s := c.bundle.borrow()
	defer c.bundle.scratch.Put(s)
	if err := c.bundle.locate(s, d.layout); err != nil {
		return nil // unreachable: check has found all inputs in the layout
	}
	j.rows, j.scores = make([]float64, 0, len(j.places)*len(s.places)), make([]float64, len(j.places))
	for _, place := range j.places {
		for _, at := range s.places {
			j.rows = append(j.rows, vectors[place].Values[at])
		}
	}
	return j
}

// run scores. A challenger takes nobody down: its panic is an error.
func (j *job) run() {
	defer func() {
		if said := recover(); said != nil {
			j.err = fmt.Errorf("model %s panicked: %v", j.challenger.bundle.version, said)
		}
		<-j.challenger.busy
		close(j.done)
	}()
	j.err = j.challenger.bundle.scoreFlat(j.rows, j.scores)
}

// compare waits for the challengers, for at most the patience, and writes their scores to the decisions, with what the policy would have made of each.
func (d *served) compare(w *work, orders []schemas.Order, vectors []schemas.FeatureVector, decisions []schemas.Decision) {
	if len(w.jobs) == 0 {
		return
	}
	d.await(w.jobs)
	room := 0
	for _, j := range w.jobs {
		room += len(j.places)
	}
	all := make([]schemas.Challenger, 0, room) // of the whole call: an order's stand side by side
	next := make([]int, len(w.jobs))           // :: job → the first of its places that is not written
	for i := range decisions {
		from := len(all)
		for n, j := range w.jobs {
			at := next[n]
			if at == len(j.places) || j.places[at] != i {
				continue
			}
			next[n]++
			if j.late || j.err != nil || !finite(j.scores[at]) {
				continue
			}
			v := j.challenger.bundle.version
			all = append(all, schemas.Challenger{Name: v.Name, Version: v.Version, Score: j.scores[at], Action: d.wouldBe(w, &orders[i], &vectors[i], j.scores[at])})
		}
		if len(all) > from {
			decisions[i].Challengers = slices.Clip(all[from:])
		}
	}
	for _, j := range w.jobs {
		d.tell(j)
	}
}

// await waits until all jobs are done, or the patience is over; those that are not done then are late.
func (d *served) await(jobs []*job) {
	if d.patience <= 0 {
		for _, j := range jobs {
			<-j.done
		}
		return
	}
	over := time.NewTimer(d.patience)
	defer over.Stop()
	waiting := true
	for _, j := range jobs {
		select {
		case <-j.done:
			continue
		default:
		}
		if !waiting {
			j.late = true
			continue
		}
		select {
		case <-j.done:
		case <-over.C:
			waiting, j.late = false, true
		}
	}
}

// wouldBe returns the action that the policy would have taken at another score.
func (d *served) wouldBe(w *work, order *schemas.Order, vector *schemas.FeatureVector, score float64) schemas.Action {
	if d.policy == nil {
		return ""
	}
	return d.policy.decide(d.input(w, order, vector, score), false).action
}

// tell counts what a job was left out of.
func (d *served) tell(j *job) {
	switch {
	case j.late:
		d.leave(j.challenger, leftSlow, len(j.places))
	case j.err != nil:
		d.fail(j.challenger.bundle, j.err)
		d.leave(j.challenger, leftFailed, len(j.places))
	default:
		none := 0
		for _, score := range j.scores {
			if !finite(score) {
				none++
			}
		}
		if none > 0 {
			d.leave(j.challenger, leftNoScore, none)
		}
	}
}

func (d *served) leave(c *challenger, why string, orders int) {
	if d.leftOut != nil {
		d.leftOut(c.bundle.version, why, orders)
	}
}
