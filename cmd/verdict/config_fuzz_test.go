package main

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// FuzzConfig reads any text as verdict.yaml: what is wrong is told with a place, and never with what a secret holds.
func FuzzConfig(f *testing.F) {
	deployed, err := os.ReadFile("../../deploy/verdict.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(deployed)
	for _, text := range []string{
		"kafka: {bootstrap_servers: [\"h:99999\"], topics: {labels: ../x}}\nredis: localhost\n", "state: {lateness: -1s, decisions: 1e9w}\nkafka.group_id: a\n",
		"a: &a [*a]\n", "redis: {password: [1, {a: b}], db: 1.5}\n", "routing: {champions: []}\nsync: {routes: []}\n", "api: {wait: 5}\n---\n", "log: !!binary aGk=\n",
	} {
		f.Add([]byte(text))
	}
	keys, _ := configKeys(reflect.TypeFor[Config](), "")
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text []byte) {
		if _, err := configFile("verdict.yaml", text, keys); err != nil && !strings.HasPrefix(err.Error(), "verdict.yaml:") {
			t.Fatalf("%v does not say where", err)
		}
		file := filepath.Join(dir, "verdict.yaml")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		cfg, err := loadConfig(file, nil)
		if err == nil {
			err = cfg.validate()
		}
		if err != nil && !errors.Is(err, errInvalid) {
			t.Fatalf("%v is not told to be the file's fault", err)
		}
	})
}
