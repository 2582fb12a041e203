package schemas_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/sr"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// answers is a registry without a network: it answers each request by its path, and counts.
type answers struct {
	respond func(path string) (status int, body string)
	delay   time.Duration
	calls   atomic.Int32
}

func (a *answers) RoundTrip(req *http.Request) (*http.Response, error) {
	a.calls.Add(1)
	time.Sleep(a.delay) // in a bubble: costs nothing
	status, body := a.respond(req.URL.Path)
	if status == 0 {
		return nil, errors.New("connection refused")
	}
	return &http.Response{StatusCode: status, Header: http.Header{"Location": {"http://elsewhere.test/"}}, Body: io.NopCloser(strings.NewReader(body)), Request: req}, nil
}

func (a *answers) codec(t *testing.T) *schemas.Codec {
	t.Helper()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{"http://registry.test"}, Client: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

const (
	smallSchema = `{"schema":"{\"type\":\"record\",\"name\":\"R\",\"fields\":[{\"name\":\"a\",\"type\":\"long\"}]}"}`
	notFound    = `{"error_code":40403,"message":"Schema not found"}`
)

var small = schematest.Frame(7, []byte{2})

func TestSchemaIsFetchedOnceForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{respond: func(string) (int, string) { return 200, smallSchema }, delay: time.Second}
		codec := a.codec(t)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if rec, _, err := codec.Decode(t.Context(), small); err != nil || rec.Get("a").Int() != 1 {
					t.Errorf("got %v, %v", rec, err)
				}
			})
		}
		wg.Wait()
		time.Sleep(1000 * time.Hour)
		a.respond = func(string) (int, string) { return 0, "" } // an outage does not matter to what is known
		if _, _, err := codec.Decode(t.Context(), small); err != nil {
			t.Error(err)
		}
		if n := a.calls.Load(); n != 1 {
			t.Errorf("the registry was asked %d times, want once", n)
		}
	})
}

func TestUnknownSchemaIsAskedForAgainNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{respond: func(string) (int, string) { return 404, notFound }}
		codec := a.codec(t)
		for range 100 {
			_, _, err := codec.Decode(t.Context(), small)
			if got := codeOf(t, err); got != "schema_unknown" {
				t.Fatalf("got %q", got)
			}
			time.Sleep(time.Second)
		}
		if n := a.calls.Load(); n < 2 || n > 11 {
			t.Errorf("the registry was asked %d times in 100 s, want at most every 10 s", n)
		}
		a.respond = func(string) (int, string) { return 200, smallSchema }
		time.Sleep(10 * time.Second)
		if _, _, err := codec.Decode(t.Context(), small); err != nil {
			t.Errorf("registered since: %v", err)
		}
	})
}

func TestRegistryOutageIsNoFaultOfTheValue(t *testing.T) {
	for name, respond := range map[string]func(string) (int, string){
		"refused":          func(string) (int, string) { return 0, "" },
		"500":              func(string) (int, string) { return 500, `{"error_code":50001,"message":"store"}` },
		"other 404":        func(string) (int, string) { return 404, "no such page" },
		"redirect":         func(string) (int, string) { return 302, "" },
		"login page":       func(string) (int, string) { return 200, "<html>" },
		"401":              func(string) (int, string) { return 401, `{"error_code":40101,"message":"who"}` },
		"subject is away":  func(string) (int, string) { return 404, `{"error_code":40401,"message":"Subject not found"}` },
		"cut off response": func(string) (int, string) { return 200, smallSchema[:20] },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &answers{respond: respond}
				codec := a.codec(t)
				_, f, err := codec.Decode(t.Context(), small)
				var m *schemas.Malformed
				if !errors.Is(err, schemas.ErrRegistry) || errors.As(err, &m) || f.SchemaID != 7 {
					t.Errorf("got %v", err)
				}
				if n := a.calls.Load(); n != 1 {
					t.Errorf("%d calls, want 1: a redirect is not followed, and the caller repeats", n)
				}
				a.respond = func(string) (int, string) { return 200, smallSchema }
				if _, _, err := codec.Decode(t.Context(), small); err != nil {
					t.Errorf("afterwards: %v", err)
				}
			})
		})
	}
}

func TestCallerCanGiveUpWaitingForASchema(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &answers{respond: func(string) (int, string) { return 200, smallSchema }, delay: 3 * time.Second}
		codec := a.codec(t)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, _, err := codec.Decode(ctx, small); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		// The lookup that it began goes on, and serves the next.
		if _, _, err := codec.Decode(t.Context(), small); err != nil || a.calls.Load() != 1 {
			t.Errorf("got %v after %d calls", err, a.calls.Load())
		}
	})
}

func TestHostileSchemasAreRefusedWhenFetched(t *testing.T) {
	for name, text := range hostileSchemas() {
		body := fmt.Sprintf(`{"schema":%q}`, text)
		if strings.ContainsRune(name, '\\') || !strings.HasPrefix(body, "{") {
			t.Fatal(name)
		}
		a := &answers{respond: func(string) (int, string) { return 200, body }}
		codec := a.codec(t)
		for range 2 {
			_, _, err := codec.Decode(t.Context(), small)
			if got := codeOf(t, err); got != "schema_refused" {
				t.Errorf("%s: got %q (%v)", name, got, err)
			}
		}
		if n := a.calls.Load(); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
	}
	for name, body := range map[string]string{"Protobuf": `{"schema":"syntax","schemaType":"PROTOBUF"}`, "no record": `{"schema":"\"long\""}`} {
		codec := (&answers{respond: func(string) (int, string) { return 200, body }}).codec(t)
		_, _, err := codec.Decode(t.Context(), small)
		if got := codeOf(t, err); got != "schema_refused" {
			t.Errorf("%s: got %q (%v)", name, got, err)
		}
	}
}

func TestSchemaMayReferToOthers(t *testing.T) {
	fake, registry := schematest.Registry(t)
	schematest.Register(t, fake, "country", `{"type":"enum","name":"Country","namespace":"x","symbols":["DE","FR"]}`)
	if _, _, err := fake.RegisterSchema("card", sr.Schema{Schema: `{"type":"record","name":"Card","namespace":"x","fields":[{"name":"country","type":"Country"}]}`, Type: sr.TypeAvro, References: []sr.SchemaReference{{Name: "x.Country", Subject: "country", Version: 1}}}); err != nil {
		t.Fatal(err)
	}
	id, _, err := fake.RegisterSchema("order", sr.Schema{
		Schema:     `{"type":"record","name":"Order","namespace":"y","fields":[{"name":"card","type":"x.Card"},{"name":"shop","type":"x.Country"}]}`,
		Type:       sr.TypeAvro,
		References: []sr.SchemaReference{{Name: "x.Card", Subject: "card", Version: 1}, {Name: "x.Country", Subject: "country", Version: 1}},
	})
	if err != nil {
		t.Fatal(err)
	}
	codec, err := schemas.NewCodec(schemas.CodecConfig{Registry: registry})
	if err != nil {
		t.Fatal(err)
	}
	rec, _, err := codec.Decode(t.Context(), schematest.Frame(uint32(id), []byte{2, 0}))
	if err != nil || rec.At(schemas.ParsePath("card.country")).Str() != "FR" || rec.Get("shop").Str() != "DE" {
		t.Errorf("got %v, %v", rec, err)
	}
}

func TestSchemaThatRefersToThousandsIsRefused(t *testing.T) {
	a := &answers{}
	a.respond = func(path string) (int, string) {
		n := a.calls.Load() // each refers to one more
		ref := fmt.Sprintf(`"references":[{"name":"N","subject":"s%d","version":1}]`, n)
		if strings.HasPrefix(path, "/schemas/ids/") {
			return 200, `{"schema":"\"long\"",` + ref + `}`
		}
		return 200, `{"subject":"s","version":1,"id":1,"schema":"\"long\"",` + ref + `}`
	}
	_, _, err := a.codec(t).Decode(t.Context(), small)
	if got := codeOf(t, err); got != "schema_refused" || a.calls.Load() > 100 {
		t.Errorf("got %q (%v) after %d calls", got, err, a.calls.Load())
	}
}

func TestDecisionSchemaIsRegisteredOnceTheRegistryIsBack(t *testing.T) {
	fake, _ := schematest.Registry(t)
	var away atomic.Bool
	var registered atomic.Int32
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if away.Load() {
			http.Error(w, "away", http.StatusServiceUnavailable)
			return
		}
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p" {
			http.Error(w, "who", http.StatusUnauthorized)
			return
		}
		registered.Add(1)
		fake.Handler().ServeHTTP(w, r)
	}))
	defer srv.Close()
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{srv.URL}, User: "u", Password: "p"})
	if err != nil {
		t.Fatal(err)
	}
	codec := schemas.NewDecisionCodec(registry, "decisions-value")
	d := schematest.Decision()
	record := schemas.AppendDecision(nil, &d)
	away.Store(true)
	if _, err := codec.Encode(t.Context(), schemas.Format{Avro: true}, record); !errors.Is(err, schemas.ErrRegistry) {
		t.Errorf("away: %v", err)
	}
	away.Store(false)
	first, err := codec.Encode(t.Context(), schemas.Format{Avro: true}, record)
	if err != nil {
		t.Fatal(err)
	}
	away.Store(true)
	second, err := codec.Encode(t.Context(), schemas.Format{Avro: true}, record)
	if err != nil || !bytes.Equal(first, second) || registered.Load() != 1 {
		t.Errorf("away again: %v after %d registrations", err, registered.Load())
	}
}

func TestRefusedDecisionSchemaIsNoOutage(t *testing.T) {
	a := &answers{respond: func(string) (int, string) { return 409, `{"error_code":409,"message":"incompatible"}` }}
	registry, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{"http://registry.test"}, Client: &http.Client{Transport: a}})
	if err != nil {
		t.Fatal(err)
	}
	d := schematest.Decision()
	_, err = schemas.NewDecisionCodec(registry, "s").Encode(t.Context(), schemas.Format{Avro: true}, schemas.AppendDecision(nil, &d))
	if err == nil || errors.Is(err, schemas.ErrRegistry) {
		t.Errorf("got %v", err)
	}
}
