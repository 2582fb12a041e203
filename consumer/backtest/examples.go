package backtest

import (
	"math"
	"slices"
	"strings"
	"time"

	"verdict/schemas"
)

// live is the place of what was decided live, where others have that of a candidate.
const live = -1

// pair is two sides that are compared, and the best examples of orders that got another action.
type pair struct {
	from, to         int // place of a candidate, or live
	byAmount, byMove []ranked
}

// ranked is an example and what ranks it: more is better.
type ranked struct {
	rank    float64
	example Example
}

// pairsOf returns what is compared: from live to each candidate, then among the candidates from the later to the earlier, since the first is the main one.
func pairsOf(cfg *Config) []pair {
	var pairs []pair
	if cfg.Live {
		for to := range cfg.Candidates {
			pairs = append(pairs, pair{from: live, to: to})
		}
	}
	for to := range cfg.Candidates {
		for from := to + 1; from < len(cfg.Candidates); from++ {
			pairs = append(pairs, pair{from: from, to: to})
		}
	}
	return pairs
}

// see keeps the row as an example when it is one of the best.
func (p *pair) see(r *Row, label Label, limit int) {
	from, to := opinionOf(r, p.from), opinionOf(r, p.to)
	if limit == 0 || from.action == to.action || from.action == NoAction || to.action == NoAction {
		return
	}
	var made *Example
	offer := func(best []ranked, rank float64) []ranked {
		if math.IsNaN(rank) || len(best) == limit && rank <= best[limit-1].rank {
			return best
		}
		if made == nil {
			made = exampleOf(r, label, from, to)
		}
		at, _ := slices.BinarySearchFunc(best, rank, func(one ranked, rank float64) int {
			if one.rank >= rank { // of equal rank the first to come stays first
				return -1
			}
			return 1
		})
		return slices.Insert(best[:min(len(best), limit-1)], at, ranked{rank, *made})
	}
	p.byAmount = offer(p.byAmount, r.Amount)
	p.byMove = offer(p.byMove, math.Abs(to.score-from.score))
}

// opinion is what one side made of a row.
type opinion struct {
	score   float64
	action  Action
	reasons []schemas.Reason
}

func opinionOf(r *Row, of int) opinion {
	if of == live {
		return opinion{r.LiveScore, r.LiveAction, r.LiveReasons}
	}
	o := opinion{score: r.Scores[of]}
	if r.Actions != nil {
		o.action = r.Actions[of]
	}
	if r.Reasons != nil {
		o.reasons = r.Reasons[of]
	}
	return o
}

func exampleOf(r *Row, label Label, from, to opinion) *Example {
	return &Example{
		ID: strings.Clone(r.ID), At: time.UnixMicro(r.At).UTC(), Amount: Number(r.Amount), Label: label.String(),
		From: from.action.String(), To: to.action.String(), FromScore: Number(from.score), ToScore: Number(to.score),
		FromReasons: reasonsOf(from.reasons), ToReasons: reasonsOf(to.reasons),
	}
}

func reasonsOf(all []schemas.Reason) []Reason {
	told := make([]Reason, 0, len(all))
	for _, r := range all {
		told = append(told, Reason{Feature: strings.Clone(r.Feature), Value: Number(r.Value), Contribution: Number(r.Contribution)})
	}
	return told
}

func examples(best []ranked) []Example {
	told := make([]Example, 0, len(best))
	for i := range best {
		told = append(told, best[i].example)
	}
	return told
}
