//go:build unix

package main_test

import (
	"cmp"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"verdict/preprocess/redisstore/redistest"
)

// localKafka is a Kafka of a test's own, which it may kill: kafka-local.sh runs it.
type localKafka struct {
	t         *testing.T
	script    string
	dir       string
	bootstrap []string
	via       []string // where verdict's processes find it, when a link stands between: one node only
	behind    string   // where that link leads
}

// startKafka runs a cluster until the test ends.
func startKafka(t *testing.T, nodes int) *localKafka {
	t.Helper()
	script := os.Getenv("VERDICT_KAFKA_LOCAL")
	if shared := os.Getenv("VERDICT_SHARED"); script == "" && shared != "" {
		script = filepath.Join(shared, "tools", "kafka-local.sh")
	}
	if script == "" {
		t.Skip("neither VERDICT_KAFKA_LOCAL nor VERDICT_SHARED is set: there is no Kafka that may be stopped")
	}
	k := &localKafka{t: t, script: script, dir: filepath.Join(t.TempDir(), "kafka")}
	_, text, _ := net.SplitHostPort(redistest.FreeAddr(t))
	port, _ := strconv.Atoi(text)
	args := []string{"--port", text, "--nodes", strconv.Itoa(nodes)}
	if nodes == 1 {
		front := redistest.FreeAddr(t)
		k.via, k.behind = []string{front}, fmt.Sprintf("127.0.0.1:%d", port+50)
		direct := fmt.Sprintf("PLAINTEXT://127.0.0.1:%d", port)
		for _, line := range []string{ // of two lines with one key the later counts
			fmt.Sprintf("listeners=%s,CONTROLLER://127.0.0.1:%d,VIA://%s", direct, port+100, k.behind),
			fmt.Sprintf("advertised.listeners=%s,VIA://%s", direct, front),
			"listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,VIA:PLAINTEXT",
		} {
			args = append(args, "--set", line)
		}
	}
	t.Cleanup(func() { k.do("wipe") })
	line := k.do("start", args...)
	_, servers, found := strings.Cut(strings.TrimSpace(line), "bootstrap=")
	if !found {
		t.Fatalf("kafka-local.sh printed %q", line)
	}
	k.bootstrap = strings.Split(servers, ",")
	return k
}

// do runs a command of the script.
func (k *localKafka) do(command string, args ...string) string {
	k.t.Helper()
	all := append([]string{k.script, command}, args...)
	if strings.HasSuffix(command, "-node") {
		all = append([]string{k.script, command}, cmp.Or(strings.Join(args, ""), "1"))
	}
	out, err := exec.Command("bash", append(all, "--dir", k.dir)...).Output()
	if err != nil {
		k.t.Errorf("kafka-local.sh %s: %v", command, err)
	}
	return string(out)
}
