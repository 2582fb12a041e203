package main

import (
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"verdict/schemas"
	"verdict/scorer"
)

// loadScorer reads what cfg says of how orders are decided (bundles, routing, policy) and makes a scorer of it; nil where the features could not be read or
// no policy is named. The error joins all that is wrong.
func (p *parts) loadScorer(cfg *Config) (*scorer.Scorer, error) {
	var faults []error
	note := func(err error) {
		if err != nil {
			faults = append(faults, err)
		}
	}
	made := scorer.Config{LeftOut: p.leftOut, Failed: p.failed, Unruled: p.unruled}
	load := p.bundleLoader()
	var err error
	if cfg.Model != "" { // what is not named is for validate to say
		made.Champion, err = load(cfg.Model)
		note(err)
	}
	if p.features != nil {
		made.Layout = p.features.Layout()
		if cfg.Policy != "" {
			made.Policy, err = scorer.LoadPolicy(cfg.Policy, p.schema, made.Layout)
			note(err)
		}
		if cfg.Routing != "" {
			made.Routing, err = p.loadRouting(cfg.Routing, made.Champion, load)
			note(err)
		}
	} else {
		p.readBlind(cfg, made.Champion, load, note)
	}
	if len(faults) > 0 || p.features == nil || made.Champion == nil || made.Policy == nil {
		return nil, errors.Join(faults...)
	}
	if made.Routing != nil {
		made.Patience = made.Routing.Patience()
	}
	return scorer.New(made)
}

// readBlind notes what is wrong with policy and routing as far as that can be told while the feature set cannot be read.
func (p *parts) readBlind(cfg *Config, champion *scorer.Bundle, load func(string) (*scorer.Bundle, error), note func(error)) {
	if cfg.Policy != "" {
		note(scorer.CheckPolicy(cfg.Policy))
		note(fmt.Errorf("%s: what its expressions name is not checked: that takes a feature set that can be read", cfg.Policy))
	}
	if cfg.Routing != "" {
		_, err := p.loadRouting(cfg.Routing, champion, load)
		note(err)
	}
}

// loadRouting reads a routing: a file, or what stands in verdict.yaml itself.
func (p *parts) loadRouting(path string, champion *scorer.Bundle, load func(string) (*scorer.Bundle, error)) (*scorer.Routing, error) {
	cfg := scorer.RoutingConfig{File: path, Fields: p.schema, Champion: champion, Load: load}
	if p.features != nil {
		cfg.Layout, cfg.Entities = p.features.Layout(), p.features.Entities()
	}
	if file, inline := strings.CutSuffix(path, inlineRouting); inline {
		cfg.File, cfg.Key = file, routingKey
	}
	return scorer.LoadRouting(cfg)
}

// leftOut counts orders that a challenger did not score, once there is something to count with.
func (p *parts) leftOut(challenger schemas.Version, why string, orders int) {
	if p.metrics != nil {
		p.metrics.Challengers.LeftOut(challenger, why, orders)
	}
}

// failures says what is wrong with models that cannot score and conditions that cannot be evaluated, as often as someone reads it.
type failures struct {
	log *slog.Logger // set before orders are decided; nil says nothing

	mu   sync.Mutex
	told map[string]time.Time // guarded by mu :: model or condition → when it was last told
}

// tellAgain is how long nothing more is said of what fails: it may do so for each order.
const tellAgain = 10 * time.Second

// failed counts a model's failure to score, and tells of it now and then.
func (p *parts) failed(model schemas.Version, err error) {
	if p.metrics != nil {
		p.metrics.Challengers.Failed(model)
	}
	if log := p.failures.due(model.String()); log != nil {
		log.Error("a model cannot score", "model", model.String(), "error", err)
	}
}

// unruled tells now and then of a condition that could not be evaluated; its orders are counted as degraded.
func (p *parts) unruled(condition string, err error) {
	if log := p.failures.due(condition); log != nil {
		log.Error("a condition cannot be evaluated: its orders are left to on_degraded", "condition", condition, "error", err)
	}
}

// due returns the log if something is to be said of what now; nil when it was said a short while ago, or nobody listens.
func (f *failures) due(what string) *slog.Logger {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.log == nil || time.Since(f.told[what]) < tellAgain {
		return nil
	}
	if f.told == nil {
		f.told = make(map[string]time.Time)
	}
	f.told[what] = time.Now()
	return f.log
}

// bundleLoader returns a loader that reads each folder once, and not at all when it still holds what it held before: so that a change of a list loads no model,
// nor waits for the server of one.
func (p *parts) bundleLoader() func(dir string) (*scorer.Bundle, error) {
	type loaded struct {
		bundle *scorer.Bundle
		err    error
	}
	before := p.bundles
	p.bundles = make(map[string]*scorer.Bundle)
	known := make(map[string]loaded) // :: folder → what it gave
	return func(dir string) (*scorer.Bundle, error) {
		dir = filepath.Clean(dir)
		if l, ok := known[dir]; ok {
			return l.bundle, l.err
		}
		var l loaded
		if l.bundle = before[dir]; l.bundle == nil || !l.bundle.Current() {
			l.bundle, l.err = scorer.LoadBundle(dir, modelLoaders())
		}
		known[dir] = l
		if l.err != nil {
			return nil, l.err
		}
		p.bundles[dir] = l.bundle
		return l.bundle, nil
	}
}
