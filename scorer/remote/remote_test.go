package remote_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/remote"
)

const metadata = `{"name":"card","platform":"x","versions":["3"],"inputs":[{"name":"x","datatype":"FP64","shape":[-1,2]}],"outputs":[{"name":"p","datatype":"FP64","shape":[-1,1]}]}`

// server serves a model: its score is a tenth of the sum of a row.
type server struct {
	metadata string
	form     func(scores []string) string // of answers; nil is what the protocol says
	then     http.HandlerFunc             // answers all but the first request, which warms the model up
	asked    atomic.Int32
	last     atomic.Value // what the last request asked
}

func (s *server) start(t *testing.T) string {
	t.Helper()
	if s.metadata == "" {
		s.metadata = metadata
	}
	if s.form == nil {
		s.form = func(scores []string) string {
			return fmt.Sprintf(`{"model_name":"card","outputs":[{"name":"p","datatype":"FP64","shape":[%d,1],"data":[%s]}]}`, len(scores), strings.Join(scores, ","))
		}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/models/card", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(s.metadata)) })
	mux.HandleFunc("POST /v2/models/card/infer", func(w http.ResponseWriter, r *http.Request) {
		if s.asked.Add(1) > 1 && s.then != nil {
			s.then(w, r)
			return
		}
		_, _ = w.Write([]byte(s.form(s.scores(t, r))))
	})
	front := httptest.NewServer(mux)
	t.Cleanup(front.Close)
	return front.URL + "/v2/models/card"
}

func (s *server) scores(t *testing.T, r *http.Request) []string {
	t.Helper()
	var req struct {
		Inputs []struct {
			Name     string
			Shape    []int
			Datatype string
			Data     []float64
		}
		Outputs []struct{ Name string }
	}
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil {
		t.Errorf("the request is no JSON: %v", err)
		return nil
	}
	in := req.Inputs[0]
	if len(req.Inputs) != 1 || len(in.Shape) != 2 || in.Shape[0]*in.Shape[1] != len(in.Data) || in.Name != "x" {
		t.Errorf("the request does not fit itself: %+v", req)
		return nil
	}
	s.last.Store(fmt.Sprint(in.Datatype, in.Shape, in.Data, req.Outputs))
	scores := make([]string, in.Shape[0])
	for i := range scores {
		sum := 0.0
		for _, x := range in.Data[i*in.Shape[1] : (i+1)*in.Shape[1]] {
			sum += x
		}
		scores[i] = fmt.Sprint(sum / 10)
	}
	return scores
}

// modelFile writes a model file and returns its path.
func modelFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "model.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func load(t *testing.T, text string) scorer.Engine {
	t.Helper()
	e, err := remote.Load(modelFile(t, text), []string{"amount", "count"})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

var nan = math.NaN()

func TestABatchIsOneRequest(t *testing.T) {
	s := &server{}
	e := load(t, s.start(t)+"\n")
	s.asked.Store(0) // it was asked for the row that warms the model up
	out := make([]float64, 3)
	if err := e.Predict([]float64{1, 2, 3, 0.1, -5, 1e-300}, out); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]float64{0.3, 0.31, -0.5}, out, cmpopts.EquateApprox(0, 1e-15)); diff != "" || s.asked.Load() != 1 {
		t.Errorf("%d requests: %s", s.asked.Load(), diff)
	}
	if want := "FP64[3 2] [1 2 3 0.1 -5 1e-300] [{p}]"; s.last.Load() != want {
		t.Errorf("asked %s, want %s", s.last.Load(), want)
	}
	if err := e.Predict([]float64{1, 2, 3}, out); err == nil {
		t.Error("rows of a wrong length were taken")
	}
}

func TestARowThatCannotBeSentHasNoScoreAndTheOthersHave(t *testing.T) {
	for name, c := range map[string]struct {
		more, asked string
		want        []float64
	}{
		"missing is not sent":  {"", "FP64[2 2] [1 2 5 5] [{p}]", []float64{0.3, nan, nan, 1}},
		"missing is -1":        {"missing: -1\n", "FP64[3 2] [1 2 -1 4 5 5] [{p}]", []float64{0.3, 0.3, nan, 1}},
		"another output named": {"output: p\n", "FP64[2 2] [1 2 5 5] [{p}]", []float64{0.3, nan, nan, 1}},
	} {
		s := &server{}
		e := load(t, "url: "+s.start(t)+"\n"+c.more)
		out := make([]float64, 4)
		if err := e.Predict([]float64{1, 2, nan, 4, math.Inf(1), 0, 5, 5}, out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.want, out, cmpopts.EquateNaNs(), cmpopts.EquateApprox(0, 1e-15)); diff != "" || s.last.Load() != c.asked {
			t.Errorf("%s: asked %s: %s", name, s.last.Load(), diff)
		}
	}
	s := &server{}
	e := load(t, s.start(t))
	s.asked.Store(0)
	if err := e.Predict([]float64{nan, nan}, []float64{0}); err != nil || s.asked.Load() != 0 {
		t.Errorf("nothing to send: %d requests, %v", s.asked.Load(), err)
	}
}

func TestValuesOfASingleModelAreRoundedAndTooLargeOnesNotSent(t *testing.T) {
	s := &server{metadata: strings.Replace(metadata, "FP64", "FP32", 1)}
	e := load(t, s.start(t))
	out := make([]float64, 2)
	if err := e.Predict([]float64{0.1, 16777217, 1e39, 0}, out); err != nil || !math.IsNaN(out[1]) {
		t.Errorf("%v, %v", out, err)
	}
	if want := "FP32[1 2] [0.1 1.6777216e+07] [{p}]"; s.last.Load() != want {
		t.Errorf("asked %s, want %s", s.last.Load(), want)
	}
}

func TestAnswersInTheProtocolsFormsAreRead(t *testing.T) {
	list := func(before, between, after string) func([]string) string {
		return func(scores []string) string { return before + strings.Join(scores, between) + after }
	}
	shaped := func(before, between, after string) func([]string) string {
		return func(scores []string) string {
			return list(strings.ReplaceAll(before, "N", strconv.Itoa(len(scores))), between, after)(scores)
		}
	}
	twoColumns := strings.Replace(metadata, "[-1,1]", "[-1,2]", 1)
	twoOutputs := strings.Replace(metadata, `"outputs":[`, `"outputs":[{"name":"label","datatype":"INT64","shape":[-1]},`, 1)
	for name, c := range map[string]struct {
		more, metadata string
		form           func([]string) string
	}{
		"nested":       {"", "", shaped(`{"outputs":[{"name":"p","datatype":"FP64","shape":[N,1],"data":[[`, "],[", "]]}]}")},
		"flat shape":   {"", "", shaped(`{"outputs":[{"name":"p","datatype":"FP64","shape":[N],"data":[`, ",", "]}]}")},
		"shaped pairs": {"column: 1\n", twoColumns, shaped(`{"outputs":[{"name":"p","shape":[N,2],"data":[0.5,`, ",0.5,", "]}]}")},
		"two columns":  {"column: 1\n", twoColumns, list(`{"outputs":[{"name":"p","data":[0.5,`, ",0.5,", "]}]}")},
		"pairs":        {"column: 1\n", twoColumns, list(`{"outputs":[{"name":"p","data":[[0.5,`, "],[0.5,", "]]}]}")},
		"two outputs":  {"output: p\n", twoOutputs, list(`{"outputs":[{"name":"label","data":[0,1]},{"name":"p","data":[`, ",", "]}]}")},
		"any shape":    {"", strings.Replace(metadata, "[-1,2]", "[-1,-1]", 1), nil},
		"no metadata":  {"input: x\noutput: p\n", "{}", nil},
		"spread wide":  {"", "", list("\n{ \"outputs\" : [ {\"name\":\"p\", \"data\" : [ ", " ,\n", " ] } ] }")},
		"other fields": {"", "", list(`{"id":"1","parameters":{"a":[1]},"outputs":[{"name":"p","parameters":{},"data":[`, ",", "]}]}")},
	} {
		s := &server{metadata: c.metadata, form: c.form}
		e := load(t, "url: "+s.start(t)+"\n"+c.more)
		out := make([]float64, 2)
		if err := e.Predict([]float64{1, 2, 3, 4}, out); err != nil || out[0] != 0.3 || out[1] != 0.7 {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

func TestWhatTheServerDoesWrongIsAnErrorThatQuotesNothing(t *testing.T) {
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/v2/models/card")
			w.WriteHeader(status)
			_, _ = w.Write([]byte(text))
		}
	}
	answer := func(data string) http.HandlerFunc { return says(200, `{"outputs":[{"name":"p","data":`+data+`}]}`) }
	shape := func(datatype, shape string) http.HandlerFunc {
		return says(200, `{"outputs":[{"name":"p","datatype":"`+datatype+`","shape":`+shape+`,"data":[1,0]}]}`)
	}
	for name, c := range map[string]struct {
		then http.HandlerFunc
		want string
	}{
		"error":      {says(500, `{"error":"4111111111111111 is no number"}`), "the server answers 500 Internal Server Error"},
		"not found":  {says(404, ""), "the server answers 404 Not Found"},
		"redirect":   {says(302, ""), "the server answers 302 Found"},
		"no JSON":    {says(200, "4111111111111111 what"), "it is not what the protocol says"},
		"cut":        {answer("[0.1"), "it is not what the protocol says"},
		"NaN":        {answer("[NaN,1]"), "it is not what the protocol says"},
		"too few":    {answer("[0.1]"), "it has 1 numbers for 2 rows"},
		"too many":   {answer("[0.1,0.2,0.3]"), "it has 3 numbers for 2 rows"},
		"two a row":  {answer("[0.1,0.2,0.3,0.4]"), "it has 2 numbers a row: say which is the score"},
		"none":       {answer("[]"), "it has 0 numbers for 2 rows"},
		"texts":      {answer(`["4111111111111111",""]`), "its data are no numbers"},
		"no list":    {answer("0.1"), "its data are no list"},
		"no data":    {says(200, `{"outputs":[{"name":"p"}]}`), "its data are no numbers"},
		"no output":  {says(200, `{"outputs":[]}`), "it has no output p"},
		"other ones": {says(200, `{"outputs":[{"name":"a","data":[1,2]},{"name":"b","data":[1,2]}]}`), "it has no output p"},
		"other name": {says(200, `{"outputs":[{"name":"a","data":[1,2]}]}`), "it has no output p"},
		"no name":    {says(200, `{"outputs":[{"data":[1,2]}]}`), "it has no output p"},
		"turned":     {shape("FP64", "[1,2]"), "its shape is [1 2], and it has 2 numbers for 2 rows: [2, 1] is wanted"},
		"longer":     {shape("FP64", "[3,1]"), "its shape is [3 1], and it has 2 numbers"},
		"deeper":     {shape("FP64", "[2,1,1]"), "its shape is [2 1 1], and it has 2 numbers"},
		"shapeless":  {shape("FP64", "[]"), "its shape is [], and it has 2 numbers"},
		"integers":   {shape("INT64", "[2,1]"), "its output is not of FP64, as the server has announced"},
		"singles":    {shape("FP32", "[2,1]"), "its output is not of FP64, as the server has announced"},
		"endless":    {says(200, strings.Repeat(" ", 1<<20)), "is longer than 67584 bytes"},
		"deep":       {answer(strings.Repeat("[", 20000)), "it is not what the protocol says"},
		"hanging up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "asking the server"},
	} {
		s := &server{then: c.then}
		e := load(t, s.start(t))
		err := e.Predict([]float64{1, 2, 3, 4}, make([]float64, 2))
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "4111111111111111") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

func TestAServerThatHangsIsWaitedForUntilTheDeadline(t *testing.T) {
	release := make(chan struct{})
	s := &server{then: func(http.ResponseWriter, *http.Request) { <-release }}
	e := load(t, "url: "+s.start(t)+"\ntimeout: 20ms\n")
	t.Cleanup(func() { close(release) })
	began := time.Now()
	err := e.Predict([]float64{1, 2}, make([]float64, 1))
	if took := time.Since(began); err == nil || took < 20*time.Millisecond || took > 5*time.Second {
		t.Errorf("after %s: %v", took, err)
	}
}

func TestABundleOfARemoteModelThatFailsLeavesOrdersDegraded(t *testing.T) {
	ill := false
	s := &server{}
	s.then = func(w http.ResponseWriter, r *http.Request) {
		if ill {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		_, _ = w.Write([]byte(s.form(s.scores(t, r))))
	}
	dir := t.TempDir()
	for name, text := range map[string]string{
		"bundle.yaml": "name: card\nversion: 3\nfeatures: card@1\nfile: model.txt\nformat: remote\ninputs: [amount, count]\n",
		"model.txt":   s.start(t) + "\n", "golden.csv": "amount,count,score\n1,2,0.3\n",
		"policy.yaml": "name: p\nversion: 1\nthresholds: {reject: 0.5}\non_degraded: review\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bundle, err := scorer.LoadBundle(dir, map[string]scorer.Loader{"remote": remote.Load})
	if err != nil {
		t.Fatal(err)
	}
	layout, err := schemas.NewLayout(schemas.Version{Name: "card", Version: "1"}, []string{"count", "amount"})
	if err != nil {
		t.Fatal(err)
	}
	policy, err := scorer.LoadPolicy(filepath.Join(dir, "policy.yaml"), nil, layout)
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	decider, err := scorer.New(scorer.Config{Layout: layout, Champion: bundle, Policy: policy, Failed: func(v schemas.Version, err error) { failed = append(failed, v.String()+": "+err.Error()) }})
	if err != nil {
		t.Fatal(err)
	}
	decide := func() (all []string) {
		got := make([]schemas.Decision, 2)
		vectors := []schemas.FeatureVector{{Layout: layout, Values: []float64{2, 4}}, {Layout: layout, Values: []float64{nan, 4}}}
		if err := decider.Decide(make([]schemas.Order, 2), vectors, got); err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			all = append(all, fmt.Sprint(d.Action, " ", d.Score, " ", d.Degraded, len(d.Reasons)))
		}
		return all
	}
	if diff := cmp.Diff([]string{"reject 0.6 [] 0", "review NaN [model] 0"}, decide()); diff != "" {
		t.Error(diff)
	}
	ill = true
	if diff := cmp.Diff([]string{"review NaN [model] 0", "review NaN [model] 0"}, decide()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"card@3: running model card@3: the server answers 503 Service Unavailable"}, failed); diff != "" {
		t.Error(diff)
	}
}

func TestModelFilesAndServersThatAreRefused(t *testing.T) {
	for name, c := range map[string]struct{ text, metadata, want string }{
		"no URL":         {"models:8000/card", "", "model.yaml:1: url: what stands there is no URL of a model"},
		"not v2":         {"http://h/v1/models/card:predict", "", "model.yaml:1: url: /v1/models/card:predict is not the path of a model"},
		"infer":          {"http://h/v2/models/card/infer", "", "model.yaml:1: url: /v2/models/card/infer is not the path of a model"},
		"password":       {"http://u:hunter2@h/v2/models/card", "", "model.yaml:1: url: it has a user or a password"},
		"query":          {"http://h/v2/models/card?a=b", "", "model.yaml:1: url: it has a query or a fragment"},
		"empty":          {"", "", "model.yaml:1: the file is empty"},
		"no url key":     {"timeout: 1s\n", "", "model.yaml:1: url is missing"},
		"unknown key":    {"url: URL\ntimout: 1s\n", "", "model.yaml:2: unknown key timout; did you mean timeout?"},
		"timeout":        {"url: URL\ntimeout: soon\n", "", `model.yaml:2: timeout: "soon" is no duration above 0 and up to 10s`},
		"timeout long":   {"url: URL\ntimeout: 1h\n", "", `model.yaml:2: timeout: "1h" is no duration`},
		"missing":        {"url: URL\nmissing: .nan\n", "", "model.yaml:2: missing: a number is wanted"},
		"column":         {"url: URL\ncolumn: 1.5\n", "", "model.yaml:2: column: 1.5 is no place"},
		"width":          {"URL", strings.Replace(metadata, "[-1,2]", "[-1,3]", 1), "input x has the shape [-1 3], and what is sent is any number of rows of 2 inputs: [-1, 2]"},
		"one row alone":  {"URL", strings.Replace(metadata, "[-1,2]", "[1,2]", 1), "input x has the shape [1 2]"},
		"integers":       {"URL", strings.Replace(metadata, "FP64", "INT64", 1), "input x is of INT64, and rows are sent as FP32 or FP64"},
		"texts out":      {"URL", strings.Replace(metadata, `"p","datatype":"FP64"`, `"p","datatype":"BYTES"`, 1), "output p is of BYTES, and a score is"},
		"two columns":    {"URL", strings.Replace(metadata, "[-1,1]", "[-1,2]", 1), "output p has 2 numbers a row: say which is the score in the model file, column: 1"},
		"column beyond":  {"url: URL\ncolumn: 1\n", "", "output p has 1 numbers a row, and column is 1"},
		"two inputs":     {"URL", strings.Replace(metadata, `"inputs":[`, `"inputs":[{"name":"y","datatype":"FP64","shape":[-1,1]},`, 1), "the model has 2 inputs (y, x): say which in the model file, input: y"},
		"another input":  {"url: URL\ninput: z\n", "", "the model has no input z (it has x)"},
		"no metadata":    {"URL", "{}", "the server does not say what the model's input is called"},
		"wrong metadata": {"URL", "what", "the server's metadata of the model are not what the protocol says"},
		"no server":      {"http://127.0.0.1:1/v2/models/card", "", "asking model.yaml what the model is: asking the server"},
		"no model":       {"URLx", "", "the server answers 404 Not Found"},
	} {
		s := &server{metadata: c.metadata}
		_, err := remote.Load(modelFile(t, strings.Replace(c.text, "URL", s.start(t), 1)), []string{"amount", "count"})
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
