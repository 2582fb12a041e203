package remote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"verdict/scorer"
)

const (
	// maxRows is how many rows one request has; a poll has fewer unless it is configured to have more.
	maxRows = 1000
	// maxMetadata is the longest description of a model that is read, in bytes.
	maxMetadata = 1 << 20
	// loadPatience is how long the server may take to say what the model is, while nobody waits for a score.
	loadPatience = 5 * time.Second
	// idle is how many connections are kept for the next requests: of each lane and each of its challengers some.
	idle = 8
)

// model asks a server. It is a scorer.Engine.
type model struct {
	spec

	inputs   []string
	single   bool   // values are float32
	datatype string // of what is sent
	gave     string // what the server says that the output's datatype is; "": nothing
	client   *http.Client
}

// Load reads a bundle's model file, which says where the model is served, and asks the server what the model takes. It is a scorer.Loader.
func Load(path string, inputs []string) (scorer.Engine, error) {
	text, err := scorer.ReadFile(path, maxModelFile)
	if err != nil {
		return nil, fmt.Errorf("reading where the model is served: %w", err)
	}
	s, err := parseSpec(filepath.Base(path), text)
	if err != nil {
		return nil, err
	}
	if err := s.locate(filepath.Dir(path)); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	trusted, err := s.trust()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(path), err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: trusted, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: idle, IdleConnTimeout: 90 * time.Second}
	m := &model{spec: *s, inputs: inputs, client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
	if err := m.describe(); err != nil {
		return nil, fmt.Errorf("asking %s what the model is: %w", filepath.Base(path), err)
	}
	// The first row is often the slowest, as servers load what they need then.
	if err := m.ask(make([]float64, len(inputs)), make([]float64, 1), loadPatience); err != nil {
		return nil, fmt.Errorf("asking %s for a score: %w", filepath.Base(path), err)
	}
	return m, nil
}

// Inputs returns the bundle's inputs: the protocol knows no names of columns, so golden rows show whether their order is right.
func (m *model) Inputs() []string { return m.inputs }

// Outputs returns 1.
func (m *model) Outputs() int { return 1 }

// Raw is Predict: what the server's score is, the bundle says.
func (m *model) Raw(rows, out []float64) error { return m.Predict(rows, out) }

var errNoContributions = errors.New("a model that is served elsewhere gives no contributions")

// Contributions gives an error.
func (m *model) Contributions(_, _ []float64) error { return errNoContributions }

// Predict asks for the scores of rows, and writes NaN for each row that cannot be sent: JSON has no infinity, and nothing missing unless the model file says what
// to send for it.
func (m *model) Predict(rows, out []float64) error {
	width := len(m.inputs)
	if len(rows) != len(out)*width {
		return fmt.Errorf("%d values for %d rows of %d", len(rows), len(out), width)
	}
	for len(out) > 0 {
		n := min(len(out), maxRows)
		if err := m.ask(rows[:n*width], out[:n], m.timeout); err != nil {
			return err
		}
		rows, out = rows[n*width:], out[n:]
	}
	return nil
}

// ask is one request.
func (m *model) ask(rows, out []float64, timeout time.Duration) error {
	width := len(m.inputs)
	var data []byte
	var sent []int // :: place in the request → row
	for i := range out {
		out[i] = math.NaN()
		from := len(data)
		if next, ok := m.appendRow(data, rows[i*width:(i+1)*width]); ok {
			data, sent = next, append(sent, i)
		} else {
			data = data[:from]
		}
	}
	if len(sent) == 0 {
		return nil
	}
	body := append(m.head(len(sent)), bytes.TrimSuffix(data, []byte(","))...)
	body = append(body, m.tail()...)
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	answer, err := m.call(ctx, http.MethodPost, m.url+"/infer", body, answerBytes(len(sent)))
	if err != nil {
		return err
	}
	scores, err := m.read(answer, len(sent))
	if err != nil {
		return fmt.Errorf("reading the server's answer: %w", err)
	}
	for i, row := range sent {
		out[row] = scores[i]
	}
	return nil
}

// appendRow appends a row's values, each with a comma after it; false when one of them cannot be sent.
func (m *model) appendRow(data []byte, row []float64) ([]byte, bool) {
	bits := 64
	if m.single {
		bits = 32
	}
	for _, x := range row {
		if math.IsNaN(x) && m.fill {
			x = m.missing
		}
		if m.single {
			x = float64(float32(x))
		}
		if math.IsNaN(x) || math.IsInf(x, 0) {
			return data, false
		}
		data = append(strconv.AppendFloat(data, x, 'g', -1, bits), ',')
	}
	return data, true
}

// head begins a request of n rows.
func (m *model) head(n int) []byte {
	head := append([]byte(`{"inputs":[{"name":`), quoted(m.input)...)
	return fmt.Appendf(head, `,"shape":[%d,%d],"datatype":"%s","data":[`, n, len(m.inputs), m.datatype)
}

// tail ends a request.
func (m *model) tail() []byte {
	if m.output == "" {
		return []byte("]}]}")
	}
	return append(append([]byte(`]}],"outputs":[{"name":`), quoted(m.output)...), "}]}"...)
}

// quoted returns a name as JSON.
func quoted(name string) []byte {
	text, err := json.Marshal(strings.ToValidUTF8(name, "\ufffd"))
	if err != nil {
		return []byte(`""`) // unreachable: every valid text can be written
	}
	return text
}

// answerBytes bounds an answer of n rows: some 25 bytes a number, of several a row, and what a server says around them.
func answerBytes(n int) int64 { return 64<<10 + int64(n)*1024 }

// call makes a request and returns the body of its answer. Errors say the status, never what the server wrote, which may quote the row.
func (m *model) call(ctx context.Context, method, address string, body []byte, most int64) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("making the request: %w", err)
	}
	req.Header.Set("Accept", "application/json")
	asked, err := m.authorization()
	if err != nil {
		return nil, err
	}
	if asked != "" {
		req.Header.Set("Authorization", asked)
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
		req.Header["X-Idempotency-Key"] = nil // not sent: it says that a request on a connection that had just been closed may be sent on another
	}
	res, err := m.client.Do(req)
	if err != nil {
		return nil, &away{fmt.Errorf("asking the server: %w", err)}
	}
	defer res.Body.Close()
	text, err := io.ReadAll(io.LimitReader(res.Body, most+1))
	switch {
	case err != nil:
		return nil, &away{fmt.Errorf("reading the server's answer: %w", err)}
	case res.StatusCode >= http.StatusInternalServerError:
		return nil, &away{fmt.Errorf("the server answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))}
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the server answers %d %s", res.StatusCode, http.StatusText(res.StatusCode))
	case int64(len(text)) > most:
		return nil, fmt.Errorf("the server's answer is longer than %d bytes", most)
	}
	return text, nil
}

// away is an error of a server that is not there, or not able to answer.
type away struct{ error }

// Is makes it a scorer.ErrAway.
func (*away) Is(target error) bool { return target == scorer.ErrAway }

// Unwrap returns the cause.
func (a *away) Unwrap() error { return a.error }

// tensor is what the protocol says of one.
type tensor struct {
	Name     string  `json:"name"`
	Datatype string  `json:"datatype"`
	Shape    []int64 `json:"shape"`
}

// describe asks what the model takes and gives, and settles which tensors are meant.
func (m *model) describe() error {
	ctx, cancel := context.WithTimeout(context.Background(), loadPatience)
	defer cancel()
	text, err := m.call(ctx, http.MethodGet, m.url, nil, maxMetadata)
	if err != nil {
		return err
	}
	var meta struct {
		Inputs  []tensor `json:"inputs"`
		Outputs []tensor `json:"outputs"`
	}
	if err := json.Unmarshal(text, &meta); err != nil {
		return errors.New("the server's metadata of the model are not what the protocol says")
	}
	in, err := choose("input", m.input, meta.Inputs)
	if err != nil {
		return err
	}
	if err := m.takes(in); err != nil {
		return err
	}
	m.input, m.datatype = in.Name, or(in.Datatype, "FP32")
	m.single = m.datatype == "FP32"
	out, err := choose("output", m.output, meta.Outputs)
	if err != nil {
		return err
	}
	m.output, m.gave = out.Name, out.Datatype
	return m.gives(out)
}

func or(text, instead string) string {
	if text == "" {
		return instead
	}
	return text
}

// choose returns the tensor that is meant: the named one, or the only one. Of a server that says nothing of its tensors the model file must name it.
func choose(what, name string, all []tensor) (tensor, error) {
	var names []string
	for _, t := range all {
		if t.Name == name || name == "" && len(all) == 1 {
			return t, nil
		}
		names = append(names, t.Name)
	}
	switch {
	case len(all) == 0 && name != "":
		return tensor{Name: name}, nil
	case len(all) == 0:
		return tensor{}, fmt.Errorf("the server does not say what the model's %s is called: say it in the model file, %s: NAME", what, what)
	case name == "":
		return tensor{}, fmt.Errorf("the model has %d %ss (%s): say which in the model file, %s: %s", len(all), what, strings.Join(names, ", "), what, names[0])
	default:
		return tensor{}, fmt.Errorf("the model has no %s %s (it has %s)", what, name, strings.Join(names, ", "))
	}
}

// takes says whether rows of the bundle's inputs can be sent as a tensor.
func (m *model) takes(t tensor) error {
	if t.Datatype == "" {
		return nil
	}
	if !slices.Contains([]string{"FP32", "FP64"}, t.Datatype) {
		return fmt.Errorf("input %s is of %s, and rows are sent as FP32 or FP64", t.Name, t.Datatype)
	}
	if n := len(t.Shape); n == 2 && t.Shape[0] == -1 && (t.Shape[1] == -1 || t.Shape[1] == int64(len(m.inputs))) {
		return nil
	}
	return fmt.Errorf("input %s has the shape %v, and what is sent is any number of rows of %d inputs: [-1, %d]", t.Name, t.Shape, len(m.inputs), len(m.inputs))
}

// gives says whether a tensor has the score.
func (m *model) gives(t tensor) error {
	if t.Datatype == "" {
		return nil
	}
	if !isFloat(t.Datatype) {
		return fmt.Errorf("output %s is of %s, and a score is FP16, BF16, FP32 or FP64", t.Name, t.Datatype)
	}
	columns := int64(1)
	for _, n := range t.Shape[min(1, len(t.Shape)):] {
		columns *= n
	}
	switch {
	case columns < 0: // any number: each answer says how many
		return nil
	case columns > 1 && !m.chosen:
		return fmt.Errorf("output %s has %d numbers a row: say which is the score in the model file, column: 1", t.Name, columns)
	case int64(m.column) >= columns:
		return fmt.Errorf("output %s has %d numbers a row, and column is %d", t.Name, columns, m.column)
	}
	return nil
}

// isFloat says whether a datatype of the protocol is that of a score.
func isFloat(datatype string) bool {
	return slices.Contains([]string{"FP16", "FP32", "FP64", "BF16"}, datatype)
}
