package main_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// The whole of it in a process: a key is made, asks, and is taken away; the admin port beside the API needs none.
func TestKeysOfAProcessChangeWithoutARestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	key := exec.CommandContext(ctx, program, "key", "shop", "--scopes", "decide,read")
	var shown strings.Builder
	key.Stderr = &shown
	line, err := key.Output()
	if err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(t.TempDir(), "keys.txt")
	if err := os.WriteFile(keys, line, 0o600); err != nil {
		t.Fatal(err)
	}
	site := newSite(t)
	config := site.config(t, "", "api: {listen: '127.0.0.1:0', auth: {keys_file: "+keys+"}}\nreload: {interval: 20ms}\n")
	text, err := os.ReadFile(config)
	if err == nil {
		err = os.WriteFile(config, []byte(strings.Replace(string(text), "admin: {", "admin: {beside_api: true, ", 1)), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	p := start(t, "serve", "-c", config)
	p.ready(ctx)
	order := `{"order_id":"a1","occurred_at":"2026-01-31T12:00:00Z","customer_id":"c1","terminal_id":"t1","amount":5}`
	ask := func() int {
		status, _ := p.call(ctx, http.MethodPost, "/v1/decisions", order, map[string]string{"Authorization": "Bearer " + strings.TrimSpace(shown.String())})
		return status
	}
	if got := ask(); got != http.StatusOK && got != http.StatusAccepted {
		t.Errorf("with the key: status %d", got)
	}
	if got, _ := p.call(ctx, http.MethodPost, "/v1/decisions", order, nil); got != http.StatusUnauthorized {
		t.Errorf("without a key: status %d", got)
	}
	if err := os.WriteFile(keys, []byte("# nobody\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for ask() != http.StatusUnauthorized {
		if ctx.Err() != nil {
			t.Fatal("the key is taken for ever")
		}
	}
	if got, _ := p.get(ctx, "/metrics"); got != http.StatusNotFound {
		t.Errorf("/metrics beside the admin port: status %d", got)
	}
	admin := regexp.MustCompile(`msg="admin port" address=(\S+)`).FindStringSubmatch(p.log.String())
	if admin == nil {
		t.Fatal("there is no admin port")
	}
	if secret := strings.TrimSpace(shown.String()); strings.Contains(p.log.String(), secret) {
		t.Error("the log has the key")
	}
	p.url = "http://" + admin[1]
	if got := p.metric(ctx, "verdict_http_refused_total"); got < 2 {
		t.Errorf("%v requests were turned away", got)
	}
}
