package main_test

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
)

// program is the binary under test, built once.
var program string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "verdict-test-")
	if err != nil {
		panic(err)
	}
	program = filepath.Join(dir, "verdict")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building verdict: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

// site is a Kafka and a Redis with topics and keys of their own.
type site struct {
	name   string
	kafka  []string
	redis  string
	prefix string

	// What a verdict.yaml of the site names in place of the above and of the example's features: for tests that stand between.
	kafkaVia, redisVia []string
	features           string
}

// sites returns the in-process stand-ins, or the real ones where VERDICT_KAFKA and VERDICT_REDIS name them.
func newSite(t testing.TB) site {
	t.Helper()
	s := site{prefix: fmt.Sprintf("t%d-", time.Now().UnixNano())}
	if k, r := os.Getenv("VERDICT_KAFKA"), os.Getenv("VERDICT_REDIS"); k != "" && r != "" {
		s.name, s.kafka, s.redis = "real", strings.Split(k, ","), r
		return s
	}
	t.Log("VERDICT_KAFKA and VERDICT_REDIS are not set: running on the in-process Kafka and Redis")
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s.name, s.kafka, s.redis = "in-process", cluster.ListenAddrs(), miniredis.RunT(t).Addr()
	return s
}

// real says whether the site is a real broker and Redis.
func (s site) real() bool { return s.name == "real" }

// topic returns the name of one of the site's topics.
func (s site) topic(name string) string { return s.prefix + name }

// config writes a verdict.yaml over the example files; more lines are added at the end.
func (s site) config(t testing.TB, instance, more string) string {
	t.Helper()
	example, err := filepath.Abs("../../deploy/example")
	if err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf(`
features: %[7]s
model: %[1]s/models/handbook/1
policy: %[1]s/policy.yaml
kafka:
  bootstrap_servers: [%[2]s]
  group_id: %[3]sgroup
  group_instance_id: %[4]q
  topics: {orders: %[3]sorders, orders_sync: %[3]sorders.sync, labels: %[3]slabels, decisions: %[3]sdecisions, replies: %[3]sreplies, orders_dlq: %[3]sorders.dlq}
redis: {addresses: [%[5]s], prefix: %[3]s, timeout: 2s}
admin: {listen: "127.0.0.1:0"}
%[6]s
`, example, strings.Join(or(s.kafkaVia, s.kafka), ", "), s.prefix, instance, strings.Join(or(s.redisVia, []string{s.redis}), ", "), more,
		cmp.Or(s.features, filepath.Join(example, "handbook.yaml")))
	file := filepath.Join(t.TempDir(), "verdict.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// or returns the first of two lists that is not empty.
func or(a, b []string) []string {
	if len(a) > 0 {
		return a
	}
	return b
}

// process is a running verdict.
type process struct {
	t    testing.TB
	cmd  *exec.Cmd
	url  string // of its API or admin port
	done chan error
	log  *logs
}

type logs struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logs) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text.WriteString(line + "\n")
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

var serving = regexp.MustCompile(`msg=serving address=(\S+)`)

// start runs verdict until the test ends, and waits until it says that it serves.
func start(t testing.TB, args ...string) *process {
	t.Helper()
	return startBinary(t, program, args...)
}

// startBinary does it with another build.
func startBinary(t testing.TB, binary string, args ...string) *process {
	t.Helper()
	return startCommand(t, exec.Command(binary, args...))
}

// startCommand does it with a command that is made already.
func startCommand(t testing.TB, cmd *exec.Cmd) *process {
	t.Helper()
	p, args := &process{t: t, cmd: cmd, done: make(chan error, 1), log: &logs{}}, cmd.Args[1:]
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	address := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(stderr)
		for lines.Scan() {
			p.log.add(lines.Text())
			if m := serving.FindStringSubmatch(lines.Text()); m != nil {
				address <- m[1]
			}
		}
		p.done <- p.cmd.Wait()
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			t.Logf("log of %v:\n%s", args, p.log)
		}
	})
	select {
	case a := <-address:
		p.url = "http://" + strings.Replace(a, "[::]", "127.0.0.1", 1)
	case err := <-p.done:
		p.done <- err
		t.Fatalf("verdict %v ended: %v\n%s", args, err, p.log)
	case <-time.After(30 * time.Second):
		t.Fatalf("verdict %v does not serve:\n%s", args, p.log)
	}
	return p
}

// kill ends the process without a warning: kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	_ = p.await() // it was killed: that is how it ended
}

// interrupt asks the process to end, as Ctrl-C does, and returns how it ended.
func (p *process) interrupt() error {
	_ = p.cmd.Process.Signal(os.Interrupt)
	return p.await()
}

func (p *process) await() error {
	err := <-p.done
	p.done <- err
	return err
}

// ready waits until /readyz says yes.
func (p *process) ready(ctx context.Context) {
	p.t.Helper()
	for {
		if code, _ := p.get(ctx, "/readyz"); code == http.StatusOK {
			return
		}
		select {
		case <-ctx.Done():
			p.t.Fatal("never ready")
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (p *process) get(ctx context.Context, path string) (int, []byte) {
	return p.call(ctx, http.MethodGet, path, "", nil)
}

// call makes a request and returns status and body; status 0 is no answer.
func (p *process) call(ctx context.Context, method, path, body string, headers map[string]string) (int, []byte) {
	req, err := http.NewRequestWithContext(ctx, method, p.url+path, strings.NewReader(body))
	if err != nil {
		p.t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range headers {
		req.Header.Set(k, v)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, []byte(err.Error())
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		return 0, []byte(err.Error())
	}
	return res.StatusCode, text
}

// metric returns the sum of a metric's series on /metrics.
func (p *process) metric(ctx context.Context, name string) float64 {
	_, text := p.get(ctx, "/metrics")
	total := 0.0
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, name+" ") || strings.HasPrefix(line, name+"{") {
			var v float64
			_, _ = fmt.Sscan(line[strings.LastIndexByte(line, ' ')+1:], &v)
			total += v
		}
	}
	return total
}

// answer is what of a decision the tests look at.
type answer struct {
	OrderID string              `json:"order_id"`
	Action  string              `json:"action"`
	Score   float64             `json:"score"`
	Inputs  map[string]*float64 `json:"inputs"`
}

func decode(t *testing.T, text []byte) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(text, &a); err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return a
}

// client returns a plain Kafka client: what a stranger writes and reads with.
func (s site) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	c, err := kgo.NewClient(append(opts, kgo.SeedBrokers(s.kafka...))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}
