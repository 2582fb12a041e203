package remote_test

import (
	"testing"

	"verdict/scorer/remote"
)

func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		`{"outputs":[{"name":"p","datatype":"FP64","shape":[2,1],"data":[0.1,0.2]}]}`, `{"outputs":[{"name":"p","data":[[0.1],[null]]}]}`, `{"outputs":[{"data":[1e999,-0]}]}`, `{"outputs":[]}`, `{`, `{"outputs":[{"name":"p","data":{}}]}`,
	} {
		f.Add([]byte(seed), 2)
	}
	f.Fuzz(func(t *testing.T, text []byte, n int) {
		n = max(1, min(n, 1000))
		scores, err := remote.Answer(text, n)
		if err == nil && len(scores) != n {
			t.Fatalf("%d scores for %d rows", len(scores), n)
		}
	})
}

func FuzzModelFile(f *testing.F) {
	f.Add([]byte("http://h/v2/models/card"))
	f.Add([]byte("url: http://h/v2/models/card\ntimeout: 1s\nmissing: -1\ncolumn: 1\n"))
	f.Fuzz(func(t *testing.T, text []byte) { _ = remote.ParseSpec(text) })
}
