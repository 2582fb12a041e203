package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/go-json-experiment/json/jsontext"

	"verdict/schemas"
)

// learn answers POST /v1/labels: one label or an array of them, all or none.
func (a *api) learn(w http.ResponseWriter, r *http.Request) {
	body, fault := a.readJSON(w, r)
	if fault != nil {
		writeProblem(w, *fault)
		return
	}
	labels, raw, err := readLabels(body)
	if err != nil {
		writeProblem(w, problemOf(err))
		return
	}
	if len(labels) > 0 {
		// Not the request's context: a caller that goes must not leave half of its labels behind.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), a.AckTimeout)
		defer cancel()
		err := a.Learn(ctx, labels, raw)
		a.learning.saw(err)
		if err != nil {
			writeProblem(w, unavailable("kafka_away", "the labels could not be handed over; send them again"))
			return
		}
	}
	writeJSON(w, http.StatusAccepted, []byte(`{"accepted":`+strconv.Itoa(len(labels))+`}`))
}

// readLabels returns the labels of a body and what each was read from. All that is wrong with any of them is in the one error.
func readLabels(body []byte) ([]schemas.Label, [][]byte, error) {
	if first := bytes.TrimLeft(body, " \t\r\n"); len(first) == 0 || first[0] != '[' {
		label, err := readLabel(body)
		if err != nil {
			return nil, nil, err
		}
		return []schemas.Label{label}, [][]byte{body}, nil
	}
	raw, err := elements(body, math.MaxInt) // as many as MaxBytes hold
	if err != nil {
		return nil, nil, err
	}
	labels := make([]schemas.Label, len(raw))
	var all schemas.Malformed
	for i := range raw {
		labels[i], err = readLabel(raw[i])
		var wrong *schemas.Malformed
		if err == nil {
			continue
		}
		if !errors.As(err, &wrong) {
			return nil, nil, err
		}
		if statusOf(wrong.Code) == http.StatusBadRequest {
			return nil, nil, wrong // not JSON: nothing more can be said of it
		}
		if all.Code == "" {
			all.Code, all.Detail = wrong.Code, "some of the labels are not usable; none was taken"
		}
		all.Faults = append(all.Faults, below(i, wrong)...)
	}
	if all.Code != "" {
		return nil, nil, &all
	}
	return labels, raw, nil
}

func readLabel(raw []byte) (schemas.Label, error) {
	fields, err := schemas.DecodeJSON(raw)
	if err != nil {
		return schemas.Label{}, err
	}
	return schemas.NewLabel(fields)
}

// below returns what is wrong with element i, by its place in the whole array.
func below(i int, wrong *schemas.Malformed) []schemas.Fault {
	at := "/" + strconv.Itoa(i)
	if len(wrong.Faults) == 0 {
		return []schemas.Fault{{Pointer: at, Detail: wrong.Detail}}
	}
	faults := make([]schemas.Fault, len(wrong.Faults))
	for j, f := range wrong.Faults {
		faults[j] = schemas.Fault{Pointer: at + f.Pointer, Detail: f.Detail}
	}
	return faults
}

// elements cuts a JSON array into its elements, which are parts of it. Duplicate keys and bad UTF-8 are left for the elements' own decoder, which names
// them. Its error is a *schemas.Malformed.
func elements(array []byte, most int) ([][]byte, error) {
	syntax := &schemas.Malformed{Code: "json_syntax", Detail: "the body is not one JSON array"}
	in := jsontext.NewDecoder(bytes.NewReader(array), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	if bracket, err := in.ReadToken(); err != nil || bracket.Kind() != '[' {
		return nil, syntax
	}
	var all [][]byte
	for in.PeekKind() != ']' {
		value, err := in.ReadValue()
		if err != nil {
			return nil, syntax
		}
		if len(all) == most {
			return nil, tooMany(most)
		}
		end := in.InputOffset() // the decoder's own bytes are gone with the next
		all = append(all, array[end-int64(len(value)):end:end])
	}
	if _, err := in.ReadToken(); err != nil {
		return nil, syntax
	}
	if _, err := in.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, syntax
	}
	return all, nil
}
