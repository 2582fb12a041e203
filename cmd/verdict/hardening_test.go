package main_test

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"

	main "verdict/cmd/verdict"
)

// TestSecretsAreInNoOutput gives each secret key a mark, has every connection fail at the login, and looks for the marks in what commands write at the most
// talkative level: as they are, and as headers carry them.
func TestSecretsAreInNoOutput(t *testing.T) {
	ctx := within(t, 2*time.Minute)
	redis := miniredis.RunT(t)
	redis.RequireUserAuth("verdict", "another")
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Error(w, `{"error":"invalid_client","error_code":40101,"message":"who"}`, http.StatusUnauthorized)
	}))
	t.Cleanup(refusing.Close)
	kafka, err := net.Listen("tcp", "127.0.0.1:0") // takes connections and says nothing
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = kafka.Close() })

	var environ, marks []string
	for i, key := range main.SecretKeys() {
		mark := fmt.Sprintf("mark-%d-of-a-secret", i)
		environ = append(environ, "VERDICT_"+strings.ToUpper(strings.ReplaceAll(key, ".", "_"))+"="+mark)
		marks = append(marks, mark, base64.StdEncoding.EncodeToString([]byte("verdict:"+mark)))
	}
	if len(marks) < 8 {
		t.Fatalf("%d secrets", len(marks)/2)
	}
	s := site{prefix: "t-", kafka: []string{kafka.Addr().String()}, redis: redis.Addr()}
	for name, login := range map[string]string{
		"PLAIN":       "kafka.sasl_mechanism: PLAIN\nkafka.sasl_username: verdict",
		"OAUTHBEARER": "kafka.sasl_mechanism: OAUTHBEARER\nkafka.sasl_oauthbearer_client_id: verdict\nkafka.sasl_oauthbearer_token_endpoint_url: " + refusing.URL,
	} {
		config := s.config(t, "", login+"\nkafka.security_protocol: SASL_PLAINTEXT\nredis.username: verdict\nlog.level: debug\napi.listen: \"127.0.0.1:0\"\n"+
			"registry: {urls: ["+refusing.URL+"], user: verdict}\n")
		for _, args := range [][]string{{"check"}, {"doctor"}, {"serve"}, {"dlq", "list"}, {"state"}} {
			t.Run(name+" "+args[0], func(t *testing.T) {
				t.Parallel()
				short := exec.CommandContext(ctx, program, append(args, "-c", config)...)
				short.Env = append(os.Environ(), environ...)
				var said bytes.Buffer
				short.Stdout, short.Stderr = &said, &said
				if err := short.Start(); err != nil {
					t.Fatal(err)
				}
				ending := time.AfterFunc(3*time.Second, func() { _ = short.Process.Signal(os.Interrupt) })
				killing := time.AfterFunc(20*time.Second, func() { _ = short.Process.Kill() })
				_ = short.Wait() // that it fails is not the question
				ending.Stop()
				killing.Stop()
				if said.Len() == 0 {
					t.Error("nothing was written: this shows nothing")
				}
				for _, mark := range marks {
					if strings.Contains(said.String(), mark) {
						t.Errorf("the secret %s is told:\n%s", mark, said.String())
					}
				}
			})
		}
	}
}

// TestServeNeedsNoFolderOfItsOwn runs serve as the image does: as nobody, in a folder that cannot be written, without a home and without an environment.
func TestServeNeedsNoFolderOfItsOwn(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "example"), os.DirFS("../../deploy/example")); err != nil {
		t.Fatal(err)
	}
	example, err := filepath.Abs("../../deploy/example")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(s.config(t, "", `api: {listen: "127.0.0.1:0"}`))
	if err != nil {
		t.Fatal(err)
	}
	text = bytes.ReplaceAll(text, []byte(example), []byte(filepath.Join(dir, "example")))
	empty, config := filepath.Join(dir, "empty"), filepath.Join(dir, "verdict.yaml")
	if err := os.WriteFile(config, text, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(empty, 0o555); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", "-c", config)
	cmd.Dir, cmd.Env = empty, []string{"TMPDIR=" + empty}
	asNobody(t, cmd, dir)
	p := startCommand(t, cmd)
	p.ready(ctx)
	if code, body := p.call(ctx, http.MethodPost, "/v1/decisions", orderJSON("o1", 1, 10), map[string]string{"Prefer": "wait=10"}); code != http.StatusOK {
		t.Errorf("%d %s", code, body)
	}
	if err := p.interrupt(); err != nil {
		t.Error(err)
	}
	if left, err := os.ReadDir(empty); err != nil || len(left) > 0 {
		t.Errorf("it left %v (%v)", left, err)
	}
}

func TestABusyPortEndsTheProcess(t *testing.T) {
	ctx := within(t, time.Minute)
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = busy.Close() })
	s := site{prefix: "t-", kafka: []string{"127.0.0.1:1"}, redis: "127.0.0.1:1"}
	code, _, said := verdict(t, ctx, "serve", "-c", s.config(t, "", fmt.Sprintf("api: {listen: %q}", busy.Addr())))
	if code != 1 || !strings.Contains(said, busy.Addr().String()) || !strings.Contains(said, "in use") {
		t.Errorf("%d: %s", code, said)
	}
}
