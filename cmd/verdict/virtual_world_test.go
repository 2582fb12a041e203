//go:build synctests

package main_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	main "verdict/cmd/verdict"
	"verdict/cmd/verdict/internal/oracle"
	"verdict/cmd/verdict/internal/virtual"
)

// world is verdict as a whole inside a testing/synctest bubble: brokers, Redis, scorers and API processes, each a host of a network in memory, and the
// strangers around them: who writes orders, callers, and a reader of the decisions who watches all the while.
type world struct {
	t    *testing.T
	seed uint64
	cfg  main.Config
	dir  string // of the brokers' log
	net  *virtual.Network
	fate *dice // of faults: one stream, drawn from in the order of events

	slow       atomic.Int64 // nanoseconds that each way takes longer
	restarting sync.Mutex   // the brokers
	failing    sync.Mutex   // Redis, over to another server
	shrank     atomic.Bool  // the stand-in broker lost the end of a log: what comes of that is not verdict's

	mu      sync.Mutex
	brokers *kfake.Cluster // guarded by mu

	endRedis func()
	redis    *miniredis.Miniredis
	ailing   ailment // what Redis says instead of obeying
	points   points  // where a lane's calls fail

	scorers, apis []*host
	oracle        *oracle.Oracle
	journal       journal
	watch         *watcher
	unwatch       context.CancelFunc // ends who looks after the groups
	callers       callers
	progress      *progress
}

const (
	redisAddress = "127.0.0.1:6379"
	brokerCount  = 3
	brokerPort   = 9092
)

// dice are random numbers that several goroutines may draw.
type dice struct {
	mu sync.Mutex
	r  *rand.Rand
}

func newDice(seed, stream uint64) *dice { return &dice{r: rand.New(rand.NewPCG(seed, stream))} }

func (d *dice) n(n int) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.IntN(n)
}

func (d *dice) chance(p float64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.r.Float64() < p
}

// between draws a duration.
func (d *dice) between(from, to time.Duration) time.Duration {
	d.mu.Lock()
	defer d.mu.Unlock()
	return from + time.Duration(d.r.Int64N(int64(to-from)+1))
}

// journal is what happened, to be shown of a run that failed.
type journal struct {
	mu    sync.Mutex
	began time.Time
	lines []string // of faults
	log   []string // of the processes, the last of them
}

const journalled = 400

func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, fmt.Sprintf("%9.3fs ", time.Since(j.began).Seconds())+fmt.Sprintf(format, args...))
}

// Write takes a line of a process's log.
func (j *journal) Write(line []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.log) == journalled {
		j.log = slices.Delete(j.log, 0, journalled/2)
	}
	j.log = append(j.log, fmt.Sprintf("%9.3fs ", time.Since(j.began).Seconds())+strings.TrimRight(string(line), "\n"))
	return len(line), nil
}

// keep keeps the processes' last words among the faults.
func (j *journal) keep() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, line := range j.log[max(0, len(j.log)-15):] {
		j.lines = append(j.lines, "    "+line)
	}
}

func (j *journal) String() string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return "faults:\n" + strings.Join(j.lines, "\n") + "\nthe processes' last words:\n" + strings.Join(j.log, "\n")
}

// host is a place where a process runs, and the process that runs there now. It is the fault table's alone, but for what mu guards.
type host struct {
	world *world
	name  string
	role  string
	kept  bool       // it is not ended by a fault
	busy  sync.Mutex // a fault is at work on it
	live  int        // guarded by busy: how many processes there were

	mu   sync.Mutex
	now  *running   // guarded by mu; nil while none runs
	past []*running // guarded by mu: crashed ones, which come to their end behind a cut cable
}

// running is one process.
type running struct {
	name    string // on the network: another one for each, so that a crashed one stays cut off
	address string // of its API
	process *main.Process
	end     context.CancelFunc
	done    chan struct{}
	err     error // when done
	crashed bool
	skew    atomic.Int64 // nanoseconds that its lanes' clock is off
}

// newWorld starts brokers and Redis.
func newWorld(t *testing.T, seed uint64) *world {
	t.Helper()
	w := &world{t: t, seed: seed, dir: t.TempDir(), fate: newDice(seed, 1), oracle: oracle.New(oracle.Config{}), progress: newProgress()}
	w.journal.began, w.points.calls = time.Now(), map[string]int{}
	jitter := newDice(seed, 2)
	w.net = &virtual.Network{Latency: func(virtual.Link) time.Duration {
		return jitter.between(50*time.Microsecond, 400*time.Microsecond) + time.Duration(w.slow.Load())
	}}
	w.cfg = w.config()
	w.startBrokers()
	w.startRedis()
	return w
}

// config is one process's verdict.yaml; what differs between processes is set when they are started.
func (w *world) config() main.Config {
	folder, err := filepath.Abs("testdata/virtual")
	if err != nil {
		w.t.Fatal(err)
	}
	servers := make([]string, brokerCount)
	for i := range servers {
		servers[i] = fmt.Sprint("127.0.0.1:", brokerPort+i)
	}
	text := fmt.Sprintf(`
features: %[1]s/features.yaml
model: %[1]s/model
policy: %[1]s/policy.yaml
kafka: {bootstrap_servers: [%[2]s], replication_factor: 1, partitions: 4, reply_partitions: 3}
redis: {addresses: [%[3]q]}
api: {listen: "127.0.0.1:0", wait: 500ms, max_wait: 5s}
admin: {listen: "127.0.0.1:0"}
reload: {interval: 0}
`, folder, strings.Join(servers, ", "), redisAddress)
	file := filepath.Join(w.t.TempDir(), "verdict.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.t.Fatal(err)
	}
	cfg, err := main.LoadConfig(file)
	if err != nil {
		w.t.Fatal(err)
	}
	return cfg
}

// startBrokers starts the cluster over what it has on disk.
func (w *world) startBrokers() {
	ports := make([]int, brokerCount)
	for i := range ports {
		ports[i] = brokerPort + i
	}
	cluster, err := kfake.NewCluster(kfake.Ports(ports...), kfake.ListenFn(w.net.Listen), kfake.DataDir(w.dir),
		kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.brokers = cluster
}

// cluster is the one that runs now, or the one that was ended last.
func (w *world) cluster() *kfake.Cluster {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.brokers
}

// startRedis starts the Redis of the processes.
func (w *world) startRedis() {
	w.redis, w.endRedis = w.serveRedis(redisAddress, w.ailing.hook)
}

// serveRedis serves a miniredis on the network, until what it returns is called. A wire of the network holds what is written to it: the server's own pipe holds
// nothing, and deadlocks when a pipeline is long.
func (w *world) serveRedis(address string, hooks ...server.Hook) (m *miniredis.Miniredis, end func()) {
	m = miniredis.NewMiniRedis()
	first, err := m.Dial() // makes the server
	if err != nil {
		w.t.Fatal(err)
	}
	_ = first.Close()
	for _, hook := range hooks {
		m.Server().SetPreHook(hook)
	}
	l, err := w.net.Listen("tcp", address)
	if err != nil {
		w.t.Fatal(err)
	}
	go func() {
		for {
			outer, err := l.Accept()
			if err != nil {
				return
			}
			inner, err := m.Dial()
			if err != nil {
				_ = outer.Close()
				continue
			}
			go pour(outer, inner)
			go pass(inner, outer)
		}
	}()
	// Its keys grow older each half minute. By its own clock (ClockTTL) they would at each command, which looks at all of them.
	aging := time.NewTicker(agingStep)
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-over:
				return
			case <-aging.C:
				m.FastForward(agingStep)
			}
		}
	}()
	return m, func() { close(over); aging.Stop(); _ = l.Close(); m.Close() }
}

const agingStep = 30 * time.Second

// pass hands on what comes until there is no more.
func pass(to, from net.Conn) {
	_, _ = io.Copy(to, from)
	_ = to.Close()
	_ = from.Close()
}

// pour is pass, and takes what comes however slowly it is taken on, as a Redis keeps the replies of a long pipeline until its client reads.
func pour(to, from net.Conn) {
	var mu sync.Mutex
	var kept []byte
	more, over := make(chan struct{}, 1), false
	go func() {
		piece := make([]byte, 64<<10)
		for {
			n, err := from.Read(piece)
			mu.Lock()
			kept, over = append(kept, piece[:n]...), err != nil
			mu.Unlock()
			select {
			case more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	for range more {
		mu.Lock()
		out, last := kept, over
		kept = nil
		mu.Unlock()
		if _, err := to.Write(out); err != nil || last {
			break
		}
	}
	_ = to.Close()
	_ = from.Close()
}

// client returns a Kafka client of a stranger, whose links no fault is made on.
func (w *world) client(name string, opts ...kgo.Opt) *kgo.Client {
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(w.cfg.Kafka.BootstrapServers...), kgo.Dialer(w.net.Dialer(name)),
		kgo.MetadataMinAge(100*time.Millisecond), kgo.RetryBackoffFn(func(int) time.Duration { return 200 * time.Millisecond }))...)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// start starts a process where none runs.
func (h *host) start() {
	w := h.world
	h.live++
	r := &running{name: fmt.Sprintf("%s.%d", h.name, h.live), done: make(chan struct{})}
	cfg := w.cfg
	cfg.Kafka.ClientID = r.name // by which the judge knows whose a member of a group is
	cfg.Kafka.Dial, cfg.Redis.Dial = w.net.Dialer(r.name), w.net.Dialer(r.name)
	if cfg.Kafka.GroupInstanceID != "" {
		cfg.Kafka.GroupInstanceID = h.name
	}
	log := slog.New(slog.NewTextHandler(&w.journal, &slog.HandlerOptions{Level: slog.LevelWarn})).With("on", r.name)
	listen := func(network, address string) (net.Listener, error) {
		l, err := w.net.Listen(network, address)
		if err == nil {
			h.mu.Lock()
			r.address = l.Addr().String()
			h.mu.Unlock()
		}
		return l, err
	}
	var err error
	if r.process, err = main.NewProcess(cfg, h.role, log, listen, w.points.rig(h, r)); err != nil {
		w.t.Error(err)
		return
	}
	ctx, end := context.WithCancel(context.Background())
	r.end = end
	h.mu.Lock()
	h.now = r
	h.mu.Unlock()
	go func() {
		defer close(r.done)
		defer end()
		r.err = r.process.Run(ctx)
		if r.err != nil {
			w.journal.note("%s ended: %v", r.name, r.err)
		}
	}()
}

// process returns the process that runs now; nil is none.
func (h *host) process() *running {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

// address returns where the API of the process that runs now listens; "" is nowhere.
func (h *host) address() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.now == nil {
		return ""
	}
	return h.now.address
}

// crash ends the process as kill -9 does, for all that others can see: from now on nothing of it reaches anybody. What it had handed to the network may still
// arrive, if the dice say so.
func (h *host) crash() {
	w := h.world
	h.mu.Lock()
	r := h.now
	if r == nil {
		h.mu.Unlock()
		return
	}
	h.now, r.crashed = nil, true
	h.past = append(h.past, r)
	h.mu.Unlock()
	if w.fate.chance(0.5) {
		w.net.Cut(func(l virtual.Link) bool { return l.From == r.name || l.To == r.address })
	}
	w.net.Isolate(r.name)
	w.net.Isolate(r.address)
	r.end()
	go func() { // what came to its end is not held until the world's
		<-r.done
		h.mu.Lock()
		defer h.mu.Unlock()
		h.past = slices.DeleteFunc(h.past, func(other *running) bool { return other == r })
	}()
}

var errEndless = errors.New("it does not end")

// stop ends the process as SIGTERM does, and waits for it.
func (h *host) stop() error {
	h.mu.Lock()
	r := h.now
	h.now = nil
	h.mu.Unlock()
	if r == nil {
		return nil
	}
	r.end()
	select {
	case <-r.done:
		return r.err
	case <-time.After(time.Minute):
		return fmt.Errorf("%s: %w", r.name, errEndless)
	}
}

// bury waits for the processes that have crashed to come to their end.
func (h *host) bury() error {
	h.mu.Lock()
	past := h.past
	h.past = nil
	h.mu.Unlock()
	for _, r := range past {
		select {
		case <-r.done:
		case <-time.After(5 * time.Minute):
			return fmt.Errorf("%s has crashed and does not end", r.name)
		}
	}
	return nil
}

// hosts are all of them.
func (w *world) hosts() []*host { return append(slices.Clone(w.scorers), w.apis...) }
