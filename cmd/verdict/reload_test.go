package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// decidedBy is what of a decision says who made it.
type decidedBy struct {
	Action string `json:"action"`
	Model  struct {
		Version string `json:"version"`
	} `json:"model"`
	Policy struct {
		Version string `json:"version"`
		Rule    string `json:"rule"`
	} `json:"policy"`
	Challengers []struct {
		Name    string   `json:"name"`
		Version string   `json:"version"`
		Score   *float64 `json:"score"`
	} `json:"challengers"`
}

// own is a verdict.yaml with files of its own beside it, which a test may change.
type own struct {
	t   *testing.T
	dir string
}

// ownFiles copies the example's model and policy, and returns the config that names the copies.
func ownFiles(t *testing.T, s site, interval string) (own, string) {
	t.Helper()
	o := own{t: t, dir: t.TempDir()}
	if err := os.CopyFS(o.dir, os.DirFS("../../deploy/example")); err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs("../../deploy/example")
	if err != nil {
		t.Fatal(err)
	}
	config := s.config(t, "", "api: {listen: \"127.0.0.1:0\", wait: 20s, max_wait: 30s}\nreload: {interval: "+interval+"}")
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	o.write("verdict.yaml", strings.ReplaceAll(string(text), example+"/", ""))
	return o, filepath.Join(o.dir, "verdict.yaml")
}

// write puts a file in place as a whole, as a deployment does.
func (o own) write(name, text string) {
	o.t.Helper()
	path := filepath.Join(o.dir, name)
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		o.t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		o.t.Fatal(err)
	}
}

// change replaces a text that stands in a file.
func (o own) change(name, from, into string) {
	o.t.Helper()
	text, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		o.t.Fatal(err)
	}
	if !strings.Contains(string(text), from) {
		o.t.Fatalf("%s has no %q", name, from)
	}
	o.write(name, strings.Replace(string(text), from, into, 1))
}

// decide asks for the decision of a new order, which must come.
func (p *process) decide(t *testing.T, ctx context.Context, id string, terminal int) decidedBy {
	t.Helper()
	order := fmt.Sprintf(`{"order_id":%q,"occurred_at":"2026-11-01T10:00:00Z","customer_id":"1","terminal_id":"%d","amount":5}`, id, terminal)
	code, text := p.call(ctx, http.MethodPost, "/v1/decisions", order, nil)
	var d decidedBy
	if err := json.Unmarshal(text, &d); err != nil || code != http.StatusOK {
		t.Errorf("%s: %d %s (%v)", id, code, text, err)
	}
	return d
}

// TestChangedFilesAreTakenUnderLoadWithoutAFailedRequest changes list, policy, bundle and routing, to good ones and bad ones, while callers ask.
func TestChangedFilesAreTakenUnderLoadWithoutAFailedRequest(t *testing.T) {
	s := newSite(t)
	ctx := within(t, 2*time.Minute)
	files, config := ownFiles(t, s, "20ms")
	p := start(t, "serve", "-c", config)
	p.ready(ctx)

	var load sync.WaitGroup
	var asked, slowest atomic.Int64
	stop := make(chan struct{})
	for caller := range 2 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				began := time.Now()
				p.decide(t, ctx, fmt.Sprintf("load-%d-%d", caller, n), 1)
				asked.Add(1)
				for took := time.Since(began).Microseconds(); ; {
					if most := slowest.Load(); took <= most || slowest.CompareAndSwap(most, took) {
						break
					}
				}
			}
		})
	}

	tries := 0
	// becomes asks until a new order's decision is as wanted.
	becomes := func(what string, want func(d decidedBy) bool) {
		t.Helper()
		var d decidedBy
		for ctx.Err() == nil {
			tries++
			if d = p.decide(t, ctx, fmt.Sprint("try-", tries), 77); want(d) {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		t.Fatalf("%s: never; last %+v", what, d)
	}
	refused := func(what, why string) {
		t.Helper()
		until(t, ctx, func() bool {
			return p.metric(ctx, "verdict_reload_refused") == 1 && strings.Contains(p.log.String(), why)
		})
		tries++
		if d := p.decide(t, ctx, fmt.Sprint("try-", tries), 77); d.Policy.Version != "2" || d.Model.Version != "1" && d.Model.Version != "2" {
			t.Errorf("%s: decided by %+v", what, d)
		}
	}

	becomes("the first policy", func(d decidedBy) bool {
		return d.Policy.Version == "1" && d.Policy.Rule == "" && d.Model.Version == "1"
	})
	files.change("lists/blocked_terminals.txt", "", "77,2027-01-01T00:00:00Z\n")
	becomes("an entry of the list", func(d decidedBy) bool { return d.Policy.Rule == "blocked_terminal" && d.Action == "reject" })
	files.change("policy.yaml", "version: 1", "version: 2")
	becomes("the second policy", func(d decidedBy) bool { return d.Policy.Version == "2" })

	files.change("policy.yaml", "amount > 5000", "amuont > 5000")
	refused("a policy with a typo", "policy.yaml:")
	files.change("policy.yaml", "amuont > 5000", "amount > 5000")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reload_refused") == 0 })

	if err := os.CopyFS(filepath.Join(files.dir, "models/handbook/2"), os.DirFS(filepath.Join(files.dir, "models/handbook/1"))); err != nil {
		t.Fatal(err)
	}
	files.change("models/handbook/2/bundle.yaml", "version: 1", "version: 2")
	files.change("verdict.yaml", "model: models/handbook/1", "model: models/handbook/2\nrouting:\n  challengers: [{model: models/handbook/1}]\n  challenger_wait: 1s")
	becomes("the second bundle, challenged by the first", func(d decidedBy) bool {
		return d.Model.Version == "2" && len(d.Challengers) == 1 && d.Challengers[0].Version == "1" && d.Challengers[0].Score != nil
	})
	if n := p.metric(ctx, "verdict_challenger_score_difference_count"); n == 0 {
		t.Error("no difference was measured")
	}

	files.change("verdict.yaml", "{model: models/handbook/1}", "{model: models/handbook/1, share: 2, of: customer}")
	refused("a routing with a share of 2", "verdict.yaml:5: challenger 1: share: 2 is not above 0 and up to 1")
	files.change("verdict.yaml", "{model: models/handbook/1, share: 2, of: customer}", "{model: models/handbook/1}")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reload_refused") == 0 })

	golden, err := os.ReadFile(filepath.Join(files.dir, "models/handbook/2/golden.csv"))
	if err != nil {
		t.Fatal(err)
	}
	header, _, _ := strings.Cut(string(golden), "\n")
	files.write("models/handbook/2/golden.csv", header+"\n"+strings.Repeat("1,", strings.Count(header, ","))+"0.5\n")
	refused("a bundle whose golden rows are others'", "golden.csv:2: the model scores this row")

	close(stop)
	load.Wait()
	t.Logf("%d requests beside the reloads, the slowest in %.1f ms", asked.Load(), float64(slowest.Load())/1000)
	if err := p.interrupt(); err != nil {
		t.Errorf("ended with %v", err)
	}
	if n := strings.Count(p.log.String(), "reload refused"); n != 3 {
		t.Errorf("%d refusals were told, of three files that stayed bad for a while", n)
	}
}

func TestAHangupLoadsTheFilesThatAreNotWatched(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	files, config := ownFiles(t, s, "0s")
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	files.change("policy.yaml", "version: 1", "version: 2")
	if d := p.decide(t, ctx, "before", 1); d.Policy.Version != "1" {
		t.Errorf("decided by %+v", d)
	}
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reloads_total") == 1 })
	if d := p.decide(t, ctx, "after", 1); d.Policy.Version != "2" {
		t.Errorf("decided by %+v", d)
	}
}

// TestAListIsTakenWhileTheServerOfAModelIsAway has a champion that is served elsewhere, and whose server goes: orders are degraded, and files that are no
// model's are taken all the same.
func TestAListIsTakenWhileTheServerOfAModelIsAway(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet {
			_, _ = w.Write([]byte(`{"inputs":[{"name":"x","datatype":"FP64","shape":[-1,1]}],"outputs":[{"name":"p","datatype":"FP64","shape":[-1]}]}`))
			return
		}
		_, _ = w.Write([]byte(`{"outputs":[{"name":"p","data":[0.05]}]}`))
	}))
	t.Cleanup(server.Close)
	s := newSite(t)
	ctx := within(t, time.Minute)
	files, config := ownFiles(t, s, "20ms")
	if err := os.Mkdir(filepath.Join(files.dir, "far"), 0o700); err != nil {
		t.Fatal(err)
	}
	files.write("far/bundle.yaml", "name: far\nversion: 1\nfeatures: handbook@1\nfile: model.yaml\nformat: remote\ninputs: [amount]\n")
	files.write("far/model.yaml", server.URL+"/v2/models/far\n")
	files.write("far/golden.csv", "amount,score\n5,0.05\n")
	files.change("verdict.yaml", "model: models/handbook/1", "model: far")
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	if d := p.decide(t, ctx, "there", 77); d.Model.Version != "1" || d.Action != "approve" {
		t.Errorf("decided by %+v", d)
	}
	server.Close()
	if d := p.decide(t, ctx, "away", 77); d.Action != "review" {
		t.Errorf("without a score: %+v", d)
	}
	if p.metric(ctx, "verdict_model_failures_total") == 0 || !strings.Contains(p.log.String(), "a model cannot score") {
		t.Error("nobody says that the model fails")
	}
	files.change("lists/blocked_terminals.txt", "", "77\n")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reloads_total") == 1 })
	if d := p.decide(t, ctx, "listed", 77); d.Policy.Rule != "blocked_terminal" {
		t.Errorf("decided by %+v", d)
	}
	files.change("far/bundle.yaml", "version: 1", "version: 2")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reload_refused") == 1 })
	if d := p.decide(t, ctx, "refused", 77); d.Model.Version != "1" {
		t.Errorf("decided by %+v", d)
	}
}

// TestAChallengerWhoseServerIsAwayStopsNobody starts a process on a challenger that is not there, which takes part as soon as it is.
func TestAChallengerWhoseServerIsAwayStopsNobody(t *testing.T) {
	var there atomic.Bool
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !there.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
		case r.Method == http.MethodGet:
			_, _ = w.Write([]byte(`{"inputs":[{"name":"x","datatype":"FP64","shape":[-1,1]}],"outputs":[{"name":"p","datatype":"FP64","shape":[-1]}]}`))
		default:
			_, _ = w.Write([]byte(`{"outputs":[{"name":"p","data":[0.05]}]}`))
		}
	}))
	t.Cleanup(server.Close)
	s := newSite(t)
	ctx := within(t, time.Minute)
	files, config := ownFiles(t, s, "20ms")
	if err := os.Mkdir(filepath.Join(files.dir, "far"), 0o700); err != nil {
		t.Fatal(err)
	}
	files.write("far/bundle.yaml", "name: far\nversion: 1\nfeatures: handbook@1\nfile: model.yaml\nformat: remote\ninputs: [amount]\n")
	files.write("far/model.yaml", server.URL+"/v2/models/far\n")
	files.write("far/golden.csv", "amount,score\n5,0.05\n")
	files.change("verdict.yaml", "model: models/handbook/1", "model: models/handbook/1\nrouting: {challengers: [{model: far}], challenger_wait: 1s}")

	said, err := exec.CommandContext(ctx, program, "check", "-c", config).Output()
	if err != nil || !strings.Contains(string(said), "challenger far@1: left out, its server is away") || !strings.Contains(string(said), "503") {
		t.Errorf("check says %s (%v)", said, err)
	}
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	if d := p.decide(t, ctx, "away", 77); d.Model.Version != "1" || len(d.Challengers) != 0 {
		t.Errorf("decided by %+v", d)
	}
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_challenger_left_out_total") == 1 })
	if !strings.Contains(p.log.String(), "a challenger is left out until its server is there") {
		t.Error("nobody says that it is left out")
	}
	there.Store(true)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reloads_total") == 1 })
	if d := p.decide(t, ctx, "there", 77); len(d.Challengers) != 1 || d.Challengers[0].Name != "far" {
		t.Errorf("decided by %+v", d)
	}
}

// TestRefusalsSayWhatIsTheMatterOnce changes verdict.yaml to a model that is not there, and the feature set below the running process.
func TestRefusalsSayWhatIsTheMatterOnce(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	files, config := ownFiles(t, s, "20ms")
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	files.change("handbook.yaml", "version: 1", "version: 1 # other")
	until(t, ctx, func() bool {
		return strings.Contains(p.log.String(), "the feature set or the order schema has changed: it counts from the next start on")
	})
	files.change("verdict.yaml", "model: models/handbook/1", "model: models/handbook/9")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reload_refused") == 1 })
	files.change("policy.yaml", "version: 1", "version: 2")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reloads_total") == 2 })
	files.change("verdict.yaml", "model: models/handbook/9", "model: models/handbook/1")
	until(t, ctx, func() bool { return p.metric(ctx, "verdict_reload_refused") == 0 })
	if n := p.metric(ctx, "verdict_reloads_total"); n != 3 {
		t.Errorf("%v reloads were counted, of two that were refused and one that was applied", n)
	}
	said := p.log.String()
	if strings.Contains(said, "the feature set at work is") {
		t.Error("a bundle that is not there is blamed on the feature set")
	}
	if n := strings.Count(said, "the feature set or the order schema has changed"); n != 1 {
		t.Errorf("the feature set's change was told %d times", n)
	}
}
