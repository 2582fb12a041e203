package deploy_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"verdict/preprocess"
	"verdict/preprocess/memstore"
	"verdict/schemas"
	"verdict/scorer"
	"verdict/scorer/treemodel"
)

const cardFeatures = "example/card.yaml"

// week is how long a fraud takes to become known, and how long the protocol of the Handbook trains, waits and tests.
const week = 7 * 24 * time.Hour

// cardTraining is the first moment that the model was trained on.
var cardTraining = time.Date(2018, 7, 25, 0, 0, 0, 0, time.UTC)

// The example is a place to start from: it must load as it lies there, and its model must find all its inputs among the features.
func TestTheCardExampleLoads(t *testing.T) {
	set, err := preprocess.Load(cardFeatures, schemas.DefaultOrderSchema())
	if err != nil {
		t.Fatal(err)
	}
	bundle := cardBundle(t)
	if bundle.FeatureSet() != "card@1" || set.Layout().Features.String() != "card@1" {
		t.Errorf("the model was trained on %s, the features are %s", bundle.FeatureSet(), set.Layout().Features)
	}
	if _, err := scorer.New(scorer.Config{Layout: set.Layout(), Champion: bundle}); err != nil {
		t.Error(err)
	}
}

// The figures that the example's README states, of the program's own features and scores: a fault in either shows here, whatever each says of itself.
func TestTheCardExampleDetectsOnTheHandbooksTestWeek(t *testing.T) {
	h := readHandbook(t)
	set := parsed(t, string(h.spec))
	bundle := cardBundle(t)
	var test []scored
	arrived := h.arrived(t, set)
	compromised := h.knownToBeCompromised(arrived)
	x := preprocess.NewExtractor(set, h.store(t, h.labels), 0)
	vectors, scores := make([]schemas.FeatureVector, 500), make([]float64, 500)
	for orders := range slices.Chunk(arrived, 500) {
		out, err := x.Extract(t.Context(), orders)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			vectors[i] = out[i].Vector
		}
		if err := bundle.Predict(vectors[:len(out)], scores[:len(out)]); err != nil {
			t.Fatal(err)
		}
		for i := range orders {
			o := &orders[i].Order
			day, customer := dayOf(o), customerOf(o)
			if since, known := compromised[customer]; day < 14 || day > 20 || known && day >= since {
				continue
			}
			test = append(test, scored{customer: customer, day: day, score: scores[i], fraud: h.fraud[o.ID]})
		}
	}
	precision, cards := averagePrecision(test), cardPrecision(test, 100)
	t.Logf("%d orders: average precision %.4f, card precision@100 %.4f", len(test), precision, cards)
	if len(test) != 58264 { // the protocol's own count: another one would be another test
		t.Errorf("%d orders in the test", len(test))
	}
	if precision < 0.75 || cards < 0.305 {
		t.Errorf("average precision %.4f, card precision@100 %.4f", precision, cards)
	}
}

// Labels that were known at once must change nothing: whatever a vector shows of an order's fraud within 7 days it could not have in production.
func TestNoCardFeatureSeesALabelYoungerThanAWeek(t *testing.T) {
	h := readHandbook(t)
	h.keep(10)
	atOnce, never := make([]schemas.Label, len(h.labels)), []schemas.Label(nil)
	for i, l := range h.labels {
		atOnce[i] = schemas.Label{ID: l.ID, Fraud: l.Fraud, KnownAt: l.KnownAt.Add(-week)}
	}
	aWeekLate := h.digest(t, string(h.spec), h.labels)
	if got := h.digest(t, string(h.spec), atOnce); !bytes.Equal(got, aWeekLate) {
		t.Error("with labels known at once the vectors are others")
	}
	// That nothing changed says something only if labels are seen at all, and if a delay that is too short would show.
	if got := h.digest(t, string(h.spec), never); bytes.Equal(got, aWeekLate) {
		t.Error("without labels the vectors are the same")
	}
	hasty := strings.ReplaceAll(string(h.spec), "delay: 7d", "delay: 6d")
	if bytes.Equal(h.digest(t, hasty, h.labels), h.digest(t, hasty, atOnce)) {
		t.Error("a delay of 6 days does not show")
	}
}

func cardBundle(t *testing.T) *scorer.Bundle {
	t.Helper()
	bundle, err := scorer.LoadBundle("example/models/card/1", map[string]scorer.Loader{"lightgbm": treemodel.Load})
	if err != nil {
		t.Fatal(err)
	}
	return bundle
}

func parsed(t *testing.T, spec string) *preprocess.FeatureSet {
	t.Helper()
	set, err := preprocess.Parse(cardFeatures, []byte(spec), nil)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// handbook is the history of the shared folder, and the feature set's text.
type handbook struct {
	spec   []byte
	orders []schemas.Record
	labels []schemas.Label
	fraud  map[schemas.OrderID]bool
}

// readHandbook reads all of it, or skips.
func readHandbook(t *testing.T) *handbook {
	t.Helper()
	shared := os.Getenv("VERDICT_SHARED")
	if shared == "" {
		t.Skip("VERDICT_SHARED is not set: no Handbook data")
	}
	spec, err := os.ReadFile(cardFeatures)
	if err != nil {
		t.Fatal(err)
	}
	h := &handbook{spec: spec, fraud: make(map[schemas.OrderID]bool)}
	dir := filepath.Join(shared, "data", "handbook")
	eachLine(t, filepath.Join(dir, "orders.jsonl.gz"), func(fields schemas.Record) { h.orders = append(h.orders, fields) })
	eachLine(t, filepath.Join(dir, "labels.jsonl.gz"), func(fields schemas.Record) {
		l, err := schemas.NewLabel(fields)
		if err != nil {
			t.Fatal(err)
		}
		h.labels = append(h.labels, l)
		h.fraud[l.ID] = l.Fraud
	})
	return h
}

func eachLine(t *testing.T, file string, each func(schemas.Record)) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	plain, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(plain)
	for lines.Scan() {
		fields, err := schemas.DecodeJSON(lines.Bytes())
		if err != nil {
			t.Fatal(err)
		}
		each(fields)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// keep keeps the orders at one of n terminals: the customers' histories are no longer whole, which is fine where runs are compared.
func (h *handbook) keep(n int) {
	h.orders = slices.DeleteFunc(h.orders, func(fields schemas.Record) bool {
		terminal, _ := fields.Get("terminal_id").Key()
		sum := 0
		for _, c := range terminal {
			sum = sum*10 + int(c-'0')
		}
		return sum%n != 0
	})
}

// arrived returns the orders as the feature set reads them, in the order of the file.
func (h *handbook) arrived(t *testing.T, set *preprocess.FeatureSet) []preprocess.Arrived {
	t.Helper()
	orders := make([]preprocess.Arrived, len(h.orders))
	for i, fields := range h.orders {
		o, err := schemas.NewOrder(fields, set.Binding(), nil)
		if err != nil {
			t.Fatal(err)
		}
		orders[i] = preprocess.Arrived{Order: o, Arrival: preprocess.Arrival{Offset: int64(i)}}
	}
	return orders
}

// store returns a store that has the labels, all of them: an order sees those known by its own time.
func (h *handbook) store(t *testing.T, labels []schemas.Label) *memstore.Store {
	t.Helper()
	store := memstore.New(memstore.Config{})
	if err := store.Learn(t.Context(), labels); err != nil {
		t.Fatal(err)
	}
	return store
}

// digest returns the bits of all vectors, one after the other, with one NaN for what is missing.
func (h *handbook) digest(t *testing.T, spec string, labels []schemas.Label) []byte {
	t.Helper()
	set := parsed(t, spec)
	x := preprocess.NewExtractor(set, h.store(t, labels), 0)
	var all []byte
	for orders := range slices.Chunk(h.arrived(t, set), 500) {
		out, err := x.Extract(t.Context(), orders)
		if err != nil {
			t.Fatal(err)
		}
		for i := range out {
			for _, v := range out[i].Vector.Values {
				if math.IsNaN(v) {
					v = math.NaN() // one of its many bit patterns
				}
				all = binary.BigEndian.AppendUint64(all, math.Float64bits(v))
			}
		}
	}
	return all
}
