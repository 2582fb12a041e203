package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"time"

	"verdict/preprocess"
	"verdict/schemas"
)

// files looks at what serve would read, as verdict check does.
func (d *doctor) files() (f findings) {
	const about = "files"
	parts, err := loadParts(&d.cfg)
	if err != nil {
		f.faults(about, err)
		if schema, err := loadSchema(d.cfg.Orders.Schema); err == nil {
			d.features, _ = preprocess.Load(d.cfg.Features, schema) // what is wrong with it is said already
		}
		return f
	}
	d.features = parts.features
	v := parts.features.Version()
	f.ok(about, "features %s (%s): %d features, looking back %s", v, v.Hash, len(parts.features.Layout().Names), days(parts.features.Keep()))
	for _, part := range parts.scorer.Parts() {
		f.ok(about, "%s", part)
	}
	for _, away := range parts.scorer.Away() {
		f.warn("model", away.Error(), "start its server: until then the challenger is left out")
	}
	if keep := d.cfg.State.Lateness; d.cfg.Events.MaxAhead > keep || d.cfg.Events.MaxAhead == 0 {
		f.warn("events.max_ahead", "an order further ahead than state.lateness is let in, and empties its entity's windows", "set events.max_ahead below state.lateness ("+days(keep)+")")
	}
	if d.role == "scorer" {
		return f
	}
	return append(f, d.api()...)
}

// api looks at who may call.
func (d *doctor) api() (f findings) {
	const about = "api"
	access, err := loadAccess(&d.cfg.API, slog.New(slog.DiscardHandler))
	if err != nil {
		f.faults(about, err)
		return f
	}
	if access.Keys == nil && access.Tokens == nil {
		f.warn(about, "everyone who reaches "+d.cfg.API.Listen+" may call", "name callers by api.auth, or see to it that only they reach the address")
	}
	t := &d.cfg.API.TLS
	if t.CertFile == "" {
		f.okUnless(about, "%s", strings.Join(append(access.parts(), "plain HTTP"), "; "))
		return f
	}
	pair, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
	switch left := time.Until(leafEnd(&pair)); {
	case err != nil:
		f.fault(about, err.Error(), "mend api.tls")
	case left < 0:
		f.fault(about, "the certificate of api.tls has ended", "renew it")
	case left < 14*24*time.Hour:
		f.warn(about, fmt.Sprintf("the certificate of api.tls ends in %s", left.Round(time.Hour)), "renew it")
	}
	f.okUnless(about, "%s", strings.Join(access.parts(), "; "))
	return f
}

func leafEnd(pair *tls.Certificate) time.Time {
	if pair.Leaf == nil {
		return time.Time{}
	}
	return pair.Leaf.NotAfter
}

// faults adds what is wrong with files: a line of the error each.
func (f *findings) faults(about string, err error) {
	for line := range strings.Lines(err.Error()) {
		f.fault(about, strings.TrimPrefix(strings.TrimSpace(line), errInvalid.Error()+": "), "mend the file; verdict check reads it as serve does")
	}
}

// secrets looks at who else may read what only serve should.
func (d *doctor) secrets(context.Context) (f findings) {
	const about = "secrets"
	for what, path := range d.secretFiles() {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			f.fault(about, path+" ("+what+") is not there", "put it there")
		case err != nil:
			f.fault(about, fmt.Sprintf("%s (%s): %v", path, what, err), "let serve read it")
		case info.Mode().Perm()&0o007 != 0:
			f.warn(about, fmt.Sprintf("%s (%s) may be read or written by everyone on this machine (%v)", path, what, info.Mode().Perm()), "chmod o= "+path)
		}
	}
	f.okUnless(about, "no file that holds one is open to everyone on this machine")
	return f
}

// secretFiles returns the files that hold secrets, by what each holds.
func (d *doctor) secretFiles() map[string]string {
	files := map[string]string{}
	for what, path := range map[string]string{
		"kafka.ssl_key_location": d.cfg.Kafka.SSLKey, "kafka.sasl_oauthbearer_token_file": d.cfg.Kafka.OAuthTokenFile,
		"api.tls.key_file": d.cfg.API.TLS.KeyFile, "api.auth.keys_file": d.cfg.API.Auth.KeysFile,
	} {
		if path != "" {
			files[what] = path
		}
	}
	keys, secrets := configKeys(reflect.TypeFor[Config](), "")
	values := map[string]any{}
	if text, err := os.ReadFile(d.file); err == nil {
		values, _ = configFile(d.file, text, keys) // it was read before, without a fault
	}
	for _, key := range secrets {
		if values[key] != nil && values[key] != "" {
			files[key] = d.file
		}
		path, _ := values[key+"_file"].(string)
		if env := os.Getenv(envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_")) + "_FILE"); env != "" {
			path = env
		}
		if path != "" && !filepath.IsAbs(path) {
			path = filepath.Join(filepath.Dir(d.file), path)
		}
		if path != "" {
			files[key+"_file"] = path
		}
	}
	return files
}

// registry looks at the schema registry, and at the schema that it has of the orders.
func (d *doctor) registry(ctx context.Context) (f findings) {
	const about = "registry"
	if len(d.cfg.Registry.URLs) == 0 {
		f.ok(about, "none: orders are JSON")
		return f
	}
	r, err := schemas.NewRegistry(d.cfg.Registry.registry())
	if err != nil {
		f.fault(about, err.Error(), "mend registry")
		return f
	}
	for _, topic := range []string{d.cfg.Kafka.Topics.Orders, d.cfg.Kafka.Topics.Sync} {
		type latest struct {
			text    string
			version int
			found   bool
		}
		subject := topic + "-value"
		s, err := consult(ctx, func(ctx context.Context) (s latest, err error) {
			s.text, s.version, s.found, err = r.Latest(ctx, subject)
			return s, err
		})
		switch {
		case err != nil:
			f.fault(about, err.Error(), "see that it answers at registry.urls: meanwhile orders of schemas that are not known yet wait for 30 s and become dead letters")
			return f
		case !s.found:
			f.ok(about, "it has no subject %s yet", subject)
		default:
			d.fits(&f, subject, s.version, s.text)
		}
	}
	return f
}

// fits says whether orders of a schema have what the features ask for.
func (d *doctor) fits(f *findings, subject string, version int, text string) {
	about := "registry subject " + subject
	schema, err := schemas.ParseSchema(subject, []byte(text))
	if err != nil {
		f.warn(about, fmt.Sprintf("version %d: %v", version, err), "if it refers to other schemas that is why, and no fault; else producers write what nobody can read")
		return
	}
	if _, err := preprocess.Load(d.cfg.Features, schema); err != nil {
		f.warn(about, fmt.Sprintf("version %d lacks what the features ask for: %v", version, err), "register a version that has it, or mend the features")
		return
	}
	f.ok(about, "version %d has all fields that the features ask for", version)
}
