package httpapi

import (
	"bufio"
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
)

// An API key is vdk_ID_SECRET in lower-case hex digits. The id finds its line and may be known to anyone; the secret has 256 bits, so that a plain SHA-256 of
// the key cannot be guessed back and need not be slow.
const (
	keyPrefix    = "vdk_"
	keyIDLen     = 12
	keySecretLen = 64
	keyLen       = len(keyPrefix) + keyIDLen + 1 + keySecretLen

	maxKeyLine  = 4 << 10
	maxKeyLines = 100_000
)

// NewKey returns a key from the system's randomness.
func NewKey() string {
	var b [(keyIDLen + keySecretLen) / 2]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	text := hex.EncodeToString(b[:])
	return keyPrefix + text[:keyIDLen] + "_" + text[keyIDLen:]
}

// KeyLine returns the line of a keys file by which key lets in name. Limit may be zero.
func KeyLine(key, name string, scopes Scope, limit Rate) (string, error) {
	id, ok := keyID(key)
	if !ok {
		return "", errors.New("this is no key: it must be " + keyPrefix + "… as NewKey makes them")
	}
	line := fmt.Sprintf("key %s %s sha256:%x %s%s", name, id, sha256.Sum256([]byte(key)), scopes, limit)
	_, err := ParseKeys("line", []byte(line))
	return line, err
}

// keyID cuts the id out of a key; false when the key has not the form of one.
func keyID(key string) (string, bool) {
	if len(key) != keyLen || key[:len(keyPrefix)] != keyPrefix || key[len(keyPrefix)+keyIDLen] != '_' {
		return "", false
	}
	id := key[len(keyPrefix) : len(keyPrefix)+keyIDLen]
	return id, lowerHex(id) && lowerHex(key[keyLen-keySecretLen:])
}

// Keys is a keys file as it was read: who is let in by a key or by a client certificate. It does not change.
type Keys struct {
	keys  map[string]*keyEntry // :: a key's id → its line
	certs map[string]*Caller   // :: cn:NAME or uri:URI of a certificate's subject → who shows it
}

type keyEntry struct {
	digest [sha256.Size]byte // of the whole key
	caller Caller
}

// Caller is who calls: a name that may stand in answers and logs, what it may do, and how often (zero: as the configuration says for all).
type Caller struct {
	Name   string
	Scopes Scope
	Rate   Rate

	source callerSource
}

// callerSource keeps callers of one name apart who were named by different authorities.
type callerSource uint8

const (
	byAddress callerSource = iota
	byKeysFile
	byToken
)

// Len returns how many lines let somebody in.
func (k *Keys) Len() int { return len(k.keys) + len(k.certs) }

// ParseKeys reads a keys file: a line for each key or certificate, words with spaces or tabs between. Empty lines are skipped, and so is what follows a #.
//
//	key  NAME  ID       sha256:HEX      SCOPE[,SCOPE…]  [rate=N/s]  [burst=N]    as KeyLine writes it
//	cert NAME  cn:NAME  SCOPE[,SCOPE…]  [rate=N/s]      [burst=N]                the subject's common name of a client certificate
//	cert NAME  uri:URI  SCOPE[,SCOPE…]  [rate=N/s]      [burst=N]                or a URI of its alternative names (SPIFFE)
//
// A name may have several lines, as it must while its key is changed for a new one; they share one rate, which must be the same in all of them. An error
// names all faults with file and line, and quotes neither ids nor digests.
func ParseKeys(file string, text []byte) (*Keys, error) {
	k := &Keys{keys: map[string]*keyEntry{}, certs: map[string]*Caller{}}
	rates := map[string]Rate{} // :: name → its rate
	in := bufio.NewScanner(bytes.NewReader(bytes.TrimPrefix(text, []byte("\ufeff"))))
	in.Buffer(nil, maxKeyLine)
	var faults []error
	line := 0
	for in.Scan() {
		line++
		words, _, _ := strings.Cut(in.Text(), "#")
		fields := strings.Fields(words)
		if len(fields) == 0 {
			continue
		}
		if err := k.take(fields, rates); err != nil {
			faults = append(faults, fmt.Errorf("%s:%d: %w", file, line, err))
		}
		if k.Len() > maxKeyLines || len(faults) > 100 {
			return nil, errors.Join(append(faults, fmt.Errorf("%s:%d: this is too much for a keys file", file, line))...)
		}
	}
	if err := in.Err(); err != nil {
		faults = append(faults, fmt.Errorf("%s:%d: %w", file, line+1, err))
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return k, nil
}

// take adds a line.
func (k *Keys) take(fields []string, rates map[string]Rate) error {
	switch kind := fields[0]; {
	case kind == "key" && len(fields) >= 5:
		return k.takeKey(fields, rates)
	case kind == "cert" && len(fields) >= 4:
		return k.takeCert(fields, rates)
	case kind == "key":
		return errors.New("a key's line is: key NAME ID sha256:HEX SCOPES [rate=N/s] [burst=N]")
	case kind == "cert":
		return errors.New("a certificate's line is: cert NAME cn:NAME SCOPES [rate=N/s] [burst=N], or uri:URI for cn:NAME")
	default:
		return errors.New("a line begins with key or cert") // what stands there may be a key in the clear
	}
}

func (k *Keys) takeKey(fields []string, rates map[string]Rate) error {
	id, digest := fields[2], fields[3]
	if len(id) != keyIDLen || !lowerHex(id) {
		return fmt.Errorf("a key's id has %d lower-case hex digits", keyIDLen)
	}
	if k.keys[id] != nil {
		return errors.New("another line has this key's id")
	}
	sum, ok := strings.CutPrefix(digest, "sha256:")
	e := &keyEntry{}
	if !ok || len(sum) != 2*len(e.digest) || !lowerHex(sum) {
		return fmt.Errorf("behind the id stands sha256: and %d lower-case hex digits", 2*len(e.digest))
	}
	_, _ = hex.Decode(e.digest[:], []byte(sum)) // has been looked at
	var err error
	if e.caller, err = callerIn(fields[1], fields[4], fields[5:], rates); err != nil {
		return err
	}
	k.keys[id] = e
	return nil
}

func (k *Keys) takeCert(fields []string, rates map[string]Rate) error {
	subject := fields[2]
	kind, what, _ := strings.Cut(subject, ":")
	if (kind != "cn" && kind != "uri") || what == "" {
		return errors.New("a certificate's subject is cn:NAME or uri:URI")
	}
	if k.certs[subject] != nil {
		return errors.New("another line has this subject")
	}
	c, err := callerIn(fields[1], fields[3], fields[4:], rates)
	if err != nil {
		return err
	}
	k.certs[subject] = &c
	return nil
}

// callerIn reads what both kinds of line have.
func callerIn(name, scopes string, options []string, rates map[string]Rate) (Caller, error) {
	if len(name) > 64 || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") != "" {
		return Caller{}, errors.New("a name has up to 64 letters, digits, dots, dashes and underscores")
	}
	c := Caller{Name: name, source: byKeysFile}
	var err error
	if c.Scopes, err = ParseScopes(scopes); err != nil {
		return Caller{}, err
	}
	if c.Rate, err = parseRate(options); err != nil {
		return Caller{}, err
	}
	if other, known := rates[name]; known && other != c.Rate {
		return Caller{}, fmt.Errorf("another line gives %s another rate", name)
	}
	rates[name] = c.Rate
	return c, nil
}

// KeyRing holds the keys at work. It is safe for concurrent use.
type KeyRing struct{ at atomic.Pointer[Keys] }

// NewKeyRing returns a ring with these keys.
func NewKeyRing(k *Keys) *KeyRing {
	r := &KeyRing{}
	r.at.Store(k)
	return r
}

// Replace puts other keys to work from the next request on: who has no line any more is not let in.
func (r *KeyRing) Replace(k *Keys) { r.at.Store(k) }

// find returns whose key this is.
func (r *KeyRing) find(key string) (Caller, bool) {
	id, ok := keyID(key)
	if !ok {
		return Caller{}, false
	}
	e := r.at.Load().keys[id]
	if e == nil {
		return Caller{}, false
	}
	var text [keyLen]byte // a conversion would allocate
	copy(text[:], key)
	digest := sha256.Sum256(text[:])
	if subtle.ConstantTimeCompare(digest[:], e.digest[:]) != 1 {
		return Caller{}, false
	}
	return e.caller, true
}

func lowerHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }
