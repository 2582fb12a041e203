package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	// smallFile is up to which size a file is compared by its content: what people write. Of larger ones size and time of change tell.
	smallFile = 64 << 10
	// tryAgain is how long what was refused stays refused although nothing changed that is watched: it may lie in a file that could not be found.
	tryAgain = 30 * time.Second
	// maxWatched bounds the files of a folder that are watched.
	maxWatched = 100
)

// reloader puts new bundles, policies, lists and routings to work while orders are decided. What cannot be loaded, or does not check, is refused, and what
// was at work stays at work.
type reloader struct {
	file    string // verdict.yaml; "" is the environment alone
	environ []string
	served  Config // what the process was started with
	parts   *parts
	log     *slog.Logger

	named   Config    // what verdict.yaml named last
	seen    string    // what the files were at the last look
	tried   string    // what they were when they were last loaded
	at      time.Time // of the last try
	failing bool
	told    string // the last refusal, which is not told twice
	stale   bool   // it was told that other keys need a restart
	fixed   string // what the feature set and the order schema were when it was last told that they need a restart, at first at the start
}

// newReloader begins with what is served now.
func newReloader(s *service) *reloader {
	r := &reloader{file: s.file, environ: os.Environ(), served: s.cfg, named: s.cfg, parts: s.parts, log: s.log}
	r.seen = r.look()
	r.tried, r.fixed = r.seen, r.lookFixed()
	return r
}

// run looks at the files until ctx ends. SIGHUP loads them whatever they look like.
func (r *reloader) run(ctx context.Context) {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGHUP)
	defer signal.Stop(asked)
	watchFiles(ctx, r.served.Reload.Interval, asked, func() {
		r.told = "" // who asks is answered
		r.seen = r.look()
		r.reload()
	}, r.poll)
}

// watchFiles calls look each interval (0: never), and load when asked, until ctx ends.
func watchFiles(ctx context.Context, interval time.Duration, asked <-chan os.Signal, load, look func()) {
	var tick <-chan time.Time // nil, which never comes, when the files are not watched
	if interval > 0 {
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-asked:
			load()
		case <-tick:
			look()
		}
	}
}

// poll loads the files when they are others than before and were so already at the last look: whoever copies them has come to an end.
func (r *reloader) poll() {
	now := r.look()
	settled := now == r.seen
	r.seen = now
	if settled && (now != r.tried || (r.failing || len(r.parts.scorer.Away()) > 0) && time.Since(r.at) >= tryAgain) {
		r.reload()
	}
}

// reload loads all files anew and puts them to work if all of them are good.
func (r *reloader) reload() {
	r.tried, r.at = r.seen, time.Now()
	changed, err := r.load()
	if err != nil {
		r.failing = true
		r.seen = r.look() // verdict.yaml may name other files now: they are those that were tried
		r.tried = r.seen
		r.parts.metrics.ReloadRefused.Set(1)
		r.parts.metrics.Reloads.WithLabelValues("refused").Inc()
		if text := err.Error(); text != r.told {
			r.told = text
			r.log.Error("reload refused: what was at work stays", "error", err)
		}
		return
	}
	r.failing, r.told = false, ""
	r.parts.metrics.ReloadRefused.Set(0)
	if !changed {
		return // a file was touched; or it is the second look, at the files that the first one has made those at work
	}
	r.parts.metrics.Reloads.WithLabelValues("applied").Inc()
	r.parts.metrics.Challengers.Serves(r.parts.scorer.Serves())
	r.log.Info("reloaded", "at_work", strings.Join(r.parts.scorer.Parts(), "; "))
}

// load puts to work what the files say. It is false when that is at work already.
func (r *reloader) load() (bool, error) {
	cfg, err := loadConfig(r.file, r.environ)
	if err != nil {
		return false, err
	}
	r.named = cfg
	if err := cfg.validate(); err != nil {
		return false, err
	}
	r.tellRestart(cfg)
	r.tellFixed()
	next, err := r.parts.loadScorer(&cfg)
	if err != nil {
		return false, r.explain(err)
	}
	changed := !slices.Equal(next.Parts(), r.parts.scorer.Parts())
	return changed, r.parts.scorer.Replace(next)
}

// explain adds what is at work to a refusal that has to do with it.
func (r *reloader) explain(err error) error {
	for _, sign := range []string{"trained on features", "unknown field", "which feature set ", "has no entity"} {
		if strings.Contains(err.Error(), sign) {
			return fmt.Errorf("%w\n(the feature set at work is %s: another one, or another order schema, needs a restart)", err, r.parts.features.Version())
		}
	}
	return err
}

// tellRestart says once that keys have changed which are read at the start alone.
func (r *reloader) tellRestart(cfg Config) {
	cfg.Model, cfg.Policy, cfg.Routing = r.served.Model, r.served.Policy, r.served.Routing
	if reflect.DeepEqual(cfg, r.served) {
		r.stale = false
		return
	}
	if !r.stale {
		r.log.Warn("keys other than model, policy and routing have changed: they count from the next start on")
	}
	r.stale = true
}

// tellFixed says once that files have changed which are read at the start alone.
func (r *reloader) tellFixed() {
	now := r.lookFixed()
	if now == r.fixed {
		return
	}
	r.fixed = now
	r.log.Warn("the feature set or the order schema has changed: it counts from the next start on", "at_work", r.parts.features.Version().String())
}

// lookFixed returns a text that is another one when the feature set or the order schema is.
func (r *reloader) lookFixed() string {
	return stamp(r.served.Features) + stamp(r.served.Orders.Schema)
}

// look returns a text that is another one when the files are.
func (r *reloader) look() string {
	files := append([]string{r.file, r.named.Policy, strings.TrimSuffix(r.named.Routing, inlineRouting), r.served.Features, r.served.Orders.Schema}, r.parts.scorer.Files()...)
	files = append(files, folder(r.named.Model)...)
	slices.Sort(files)
	sum := sha256.New()
	for _, file := range slices.Compact(files) {
		if file != "" {
			fmt.Fprintf(sum, "%q %s\n", file, stamp(file))
		}
	}
	return string(sum.Sum(nil))
}

// folder returns the files of a folder.
func folder(dir string) []string {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil
	}
	var files []string
	for _, e := range entries[:min(len(entries), maxWatched)] {
		files = append(files, filepath.Join(dir, e.Name()))
	}
	return files
}

// stamp returns what tells two states of a file apart.
func stamp(file string) string {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "none"
	case err != nil:
		return "unreadable"
	case !info.Mode().IsRegular() || info.Size() > smallFile:
		return fmt.Sprint(info.Size(), " ", info.ModTime().UnixNano())
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "unreadable"
	}
	return fmt.Sprintf("%x", sha256.Sum256(text))
}
