//go:build unix

package main_test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"verdict/cmd/verdict/internal/oracle"
	"verdict/preprocess/redisstore/redistest"
)

// TestCampaign makes faults while orders are decided, and has the oracle judge each run (FAULTS F01 and on, the process layer): verdict serve as processes of
// their own, a real Kafka and a real Redis, readers that watch while the faults run. It logs a line for each fault:
//
//	F01 seed=7: orders=100000 lost=0 dup=0 drift=0 stuck_max=0.8s recover_p99=3.1s
//
// VERDICT_CAMPAIGN=100000 makes every fault over so many orders; without it a few are made over 3,000. VERDICT_CAMPAIGN_RATE is how many orders a second are
// written, VERDICT_CAMPAIGN_SEED repeats what is written (when a fault hits is up to the machine).
func TestCampaign(t *testing.T) {
	long := os.Getenv("VERDICT_CAMPAIGN") != ""
	for _, p := range plans() {
		t.Run(p.id, func(t *testing.T) {
			if !long && !p.short {
				t.Skip("VERDICT_CAMPAIGN is not set: this fault is left out")
			}
			report, seed := p.run(t, program)
			t.Logf("%s seed=%d: %s", p.id, seed, &report)
			for _, f := range report.Offenders {
				t.Errorf("%s", f)
			}
			if !report.Green() {
				t.Errorf("%s is red", p.id)
			}
			if p.recover > 0 && report.RecoverP99 > p.recover {
				t.Errorf("decided again %s after the fault, want %s", report.RecoverP99, p.recover)
			}
		})
	}
}

// plan is one fault of the campaign.
type plan struct {
	id      string
	what    string
	short   bool          // is made in every run on a real broker
	static  bool          // scorers have static membership
	scorers int           // how many processes; 0 is 2
	role    string        // of them; "" is scorer
	recover time.Duration // within which all partitions decide again; 0 is not judged
	stream  stream        // what is written
	more    string        // lines of verdict.yaml
	exactly bool          // delivery is exactly_once: a copy that is written again is one too many
	own     bool          // needs a Kafka of its own
	nodes   int           // of that Kafka; 0 is 1
	size    int           // how many orders; 0 is VERDICT_CAMPAIGN
	rate    int           // how many a second; 0 is VERDICT_CAMPAIGN_RATE
	pace    time.Duration // about between two faults; 0 is a 25th of the run
	callers int           // of the JSON API, a second; 0 is 20
	rash    bool          // what is red before anything is computed a second time is red enough, and what is lost is not waited for long
	fault   func(t *testing.T, ctx context.Context, c *campaign)
}

// campaign is one run: processes, who writes, who reads, and the oracle that is told all of it.
type campaign struct {
	site    site
	redis   *redistest.Server
	kafka   *localKafka // nil: the Kafka of VERDICT_KAFKA, which nobody stops
	links   links       // to Kafka and Redis, where the plan wants some
	binary  string
	oracle  *oracle.Oracle
	feeder  *feeder
	readers *readers
	callers apiCallers
	done    chan struct{} // closed when all orders are written
	pace    time.Duration // about between two faults
	role    string

	patience time.Duration // for which nothing may come before no more is waited for: longer than a session and all back-off

	configs []string // :: scorer → its verdict.yaml
	scorers crowd
	api     *process
}

// run makes a plan and returns what the oracle says, and the seed.
func (p *plan) run(t *testing.T, binary string) (oracle.Report, uint64) {
	t.Helper()
	n, rate, seed := number(t, "VERDICT_CAMPAIGN", 3000), 400, uint64(number(t, "VERDICT_CAMPAIGN_SEED", int(rand.Uint64N(1_000_000))))
	if n >= 20_000 {
		rate = 1200
	}
	n, rate = cmp.Or(p.size, n), cmp.Or(p.rate, number(t, "VERDICT_CAMPAIGN_RATE", rate))
	ctx := within(t, 10*time.Minute+3*time.Duration(n)*time.Second/time.Duration(rate))
	c := &campaign{binary: binary, oracle: oracle.New(oracle.Config{ExactlyOnce: p.exactly}), role: cmp.Or(p.role, "scorer"), done: make(chan struct{})}
	c.pace = cmp.Or(p.pace, max(1500*time.Millisecond, time.Duration(n)*time.Second/time.Duration(rate)/25))
	c.patience = 45 * time.Second
	if p.rash {
		c.patience = 4 * time.Second
	}
	c.place(t, p)
	stream := p.stream.orDefaults(n, rate, seed)
	for i := range max(2, p.scorers) {
		instance := ""
		if p.static {
			instance = fmt.Sprint("scorer-", i)
		}
		c.configs = append(c.configs, c.site.config(t, instance, c.settings(p)))
		c.scorers.processes = append(c.scorers.processes, c.scorer(t, i))
	}
	c.api = startBinary(t, c.binary, "serve", "--role", "api", "-c", c.site.config(t, "", c.settings(p)))
	c.api.ready(ctx)
	for i := range c.configs {
		c.scorers.at(i).ready(ctx)
	}
	c.readers = c.read(t, ctx)
	c.feeder = newFeeder(t, c, stream)
	var all sync.WaitGroup
	all.Go(func() { defer close(c.done); c.feeder.run(t, ctx) })
	all.Go(func() { c.callers.call(ctx, c, cmp.Or(p.callers, 20)) })
	if p.fault != nil {
		p.fault(t, ctx, c)
	}
	all.Wait()
	c.links.heal()
	c.settle(t, ctx)
	c.whole(t, ctx)
	c.stop(t)
	c.readers.toEnd(t, ctx)
	if report := c.oracle.Report(); p.rash && !report.Green() {
		return report, seed
	}
	c.recompute(t, ctx)
	return c.oracle.Report(), seed
}

// settings are what all processes of the campaign have. The lanes give each other nothing up: callers here are a few, and the other lane is what is looked at.
func (c *campaign) settings(p *plan) string {
	delivery := "at_least_once"
	if p.exactly {
		delivery = "exactly_once"
	}
	return fmt.Sprintf("delivery: %s\nkafka.session_timeout: %s\nlanes: {async_share: 1, async_batch: 500}\napi: {listen: \"127.0.0.1:0\", grace: 300ms}\n%s", delivery, campaignSession, p.more)
}

const campaignSession = 6 * time.Second // the shortest that a broker takes by default

// scorer starts the scorer of a place.
func (c *campaign) scorer(t *testing.T, i int) *process {
	t.Helper()
	return startBinary(t, c.binary, "serve", "--role", c.role, "-c", c.configs[i])
}

// place finds the Kafka and the Redis of a plan: those of VERDICT_KAFKA where nothing is to be done to it, else its own; a Redis of its own always.
func (c *campaign) place(t *testing.T, p *plan) {
	t.Helper()
	c.site = newSite(t)
	if !c.site.real() {
		t.Skip("VERDICT_KAFKA and VERDICT_REDIS are not set: a campaign of processes wants real ones")
	}
	c.redis = redistest.Start(t, redisArgs()...)
	c.site.redis = c.redis.Addr()
	if p.own {
		c.kafka = startKafka(t, max(1, p.nodes))
		c.site.kafka = c.kafka.bootstrap
		c.site.kafkaVia = c.kafka.via
		if len(c.kafka.via) > 0 {
			c.links.kafka = newLink(t, c.kafka.via[0], c.kafka.behind)
		}
	}
	c.links.redis = newLink(t, redistest.FreeAddr(t), c.site.redis)
	c.site.redisVia = []string{c.links.redis.front}
	c.site.features = campaignFeatures(t)
}

// campaignFeatures writes the example's feature set, with every other kind of aggregate beside it, and returns the file.
func campaignFeatures(t *testing.T) string {
	t.Helper()
	example, err := os.ReadFile("../../deploy/example/handbook.yaml")
	if err != nil {
		t.Fatal(err)
	}
	more, err := os.ReadFile("testdata/campaign-features.yaml")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "features.yaml")
	if err := os.WriteFile(file, append(example, more...), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// number reads a whole number from the environment.
func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%s is not a number", name, text)
	}
	return n
}

// stop ends all processes as an operator would: each must end in order.
func (c *campaign) stop(t *testing.T) {
	t.Helper()
	for _, p := range append(c.scorers.all(), c.api) {
		if err := p.interrupt(); err != nil {
			t.Errorf("a process that was asked to stop ended with %v", err)
		}
	}
}

func (c *crowd) all() []*process {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]*process(nil), c.processes...)
}
