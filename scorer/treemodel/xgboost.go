package treemodel

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"

	"verdict/scorer"
)

// LoadXGBoost reads an XGBoost model, JSON or UBJSON, with all its rounds, as Booster.predict takes them. When inputs is not nil, it must name the
// model's own features in their order; a model whose features were never named takes them by place.
func LoadXGBoost(path string, inputs []string) (scorer.Engine, error) {
	return loadXGBoost(path, inputs, false)
}

// LoadXGBoostBest is LoadXGBoost of the rounds up to the best one that early stopping found, as XGBClassifier.predict takes them. A file that does not
// say which that was is refused.
func LoadXGBoostBest(path string, inputs []string) (scorer.Engine, error) {
	return loadXGBoost(path, inputs, true)
}

func loadXGBoost(path string, inputs []string, best bool) (scorer.Engine, error) {
	data, err := scorer.ReadFile(path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	file := filepath.Base(path)
	m, err := parseXGBoost(file, data, best)
	if err != nil {
		return nil, err
	}
	if inputs == nil {
		return m, nil
	}
	if err := m.bindXGBoost(inputs); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return m, nil
}

// ParseXGBoost reads an XGBoost model with all its rounds from memory, JSON or UBJSON; file is how errors call it.
func ParseXGBoost(file string, data []byte) (*Model, error) { return parseXGBoost(file, data, false) }

// ParseXGBoostBest reads an XGBoost model up to its best round from memory.
func ParseXGBoostBest(file string, data []byte) (*Model, error) {
	return parseXGBoost(file, data, true)
}

// OpenAny reads a model file as it is, of the kind that it looks like: XGBoost's JSON or UBJSON, else LightGBM's text.
func OpenAny(path string) (*Model, error) {
	data, err := scorer.ReadFile(path, maxFileBytes)
	if err != nil {
		return nil, err
	}
	if file := filepath.Base(path); looksXGBoost(data) || oldXGBoost(data) {
		return ParseXGBoost(file, data)
	}
	return Parse(filepath.Base(path), data)
}

// looksXGBoost says whether data begins like JSON or UBJSON.
func looksXGBoost(data []byte) bool {
	trimmed := bytes.TrimLeft(data, " \t\r\n")
	return len(trimmed) > 0 && trimmed[0] == '{'
}

// ubjKey is what a key's length may begin with, after the brace that opens a UBJSON object. JSON has a quote there, or empty space.
const ubjKey = "iUIlL"

// oldXGBoost says whether data is XGBoost's old binary form, which it no longer writes. It begins with a mark, or with base_score and the other fixed
// parameters, and the names of objective and booster follow.
func oldXGBoost(data []byte) bool {
	if bytes.HasPrefix(data, []byte("binf")) || bytes.HasPrefix(data, []byte("bs64")) {
		return true
	}
	head := data[:min(len(data), 512)]
	return bytes.IndexByte(head, 0) >= 0 && (bytes.Contains(head, []byte("gbtree")) || bytes.Contains(head, []byte("gblinear")) || bytes.Contains(head, []byte("dart")))
}

// notXGBoost says what else a file may be.
func notXGBoost(data []byte) string {
	const save = "booster.save_model('model.json')"
	switch {
	case len(data) == 0:
		return "is empty: an XGBoost model is JSON or UBJSON, " + save
	case bytes.HasPrefix(data, []byte("\x80")):
		return "is a Python pickle, which is never opened: save the model itself, " + save
	case bytes.HasPrefix(data, []byte("PK\x03\x04")):
		return "is a zip file (joblib or npz, perhaps), which is never opened: save the model itself, " + save
	case bytes.HasPrefix(data, []byte("CONFIG-offset:")):
		return "is a snapshot of a Booster in memory: save the model itself, " + save
	case bytes.HasPrefix(data, []byte("tree\n")):
		return "is a LightGBM text model: its format is lightgbm"
	case oldXGBoost(data):
		return "is in XGBoost's old binary form (.model, .bin), which is not read: load it in the XGBoost that saved it (any from 1.0 to 2.1 reads it) and save it again, " + save
	case bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("[")), bytes.HasPrefix(data, []byte("booster[")):
		return "is a dump for reading (dump_model), which has rounded numbers: save the model itself, " + save
	default:
		return "is no XGBoost model, which is JSON or UBJSON and begins with {; this begins with " + quote(data[:min(len(data), 40)])
	}
}

func parseXGBoost(file string, data []byte, best bool) (*Model, error) {
	if !looksXGBoost(data) {
		return nil, fmt.Errorf("%s: %s (at byte 0)", file, notXGBoost(data))
	}
	var d document = &jsonDocument{reader{file: file, data: data}}
	if len(data) > 1 && strings.IndexByte(ubjKey, data[1]) >= 0 {
		d = &ubjDocument{reader{file: file, data: data}}
	}
	x := newXGBoost(d)
	if err := x.read(); err != nil {
		return nil, err
	}
	return x.model(best)
}

// bindXGBoost checks that inputs are the model's features, in its order.
func (m *Model) bindXGBoost(inputs []string) error {
	if !placeNames(m.info.Inputs) {
		return m.bind(inputs)
	}
	if len(inputs) != len(m.info.Inputs) {
		return fmt.Errorf("the model has %d features, which have no names, and the bundle's inputs are %d", len(m.info.Inputs), len(inputs))
	}
	return nil
}

// placeNames says whether the names are those that features without a name get: f0, f1 and so on.
func placeNames(names []string) bool {
	for i, name := range names {
		if name != placeName(i) {
			return false
		}
	}
	return true
}

func placeName(i int) string { return fmt.Sprintf("f%d", i) }
