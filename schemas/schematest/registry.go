package schematest

import (
	"testing"

	"github.com/twmb/franz-go/pkg/sr"
	"github.com/twmb/franz-go/pkg/sr/srfake"

	"verdict/schemas"
)

// Registry returns a schema registry in this process, and a client of it.
func Registry(t testing.TB) (*srfake.Registry, *schemas.Registry) {
	t.Helper()
	fake := srfake.New()
	t.Cleanup(fake.Close)
	client, err := schemas.NewRegistry(schemas.RegistryConfig{URLs: []string{fake.URL()}})
	if err != nil {
		t.Fatal(err)
	}
	return fake, client
}

// Register registers an Avro schema under a subject and returns its id.
func Register(t testing.TB, fake *srfake.Registry, subject, text string) uint32 {
	t.Helper()
	id, _, err := fake.RegisterSchema(subject, sr.Schema{Schema: text, Type: sr.TypeAvro})
	if err != nil {
		t.Fatal(err)
	}
	return uint32(id)
}
