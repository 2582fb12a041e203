// Package redistest runs real Redis servers for tests: single ones, and a cluster. Each is a process of its own on a free port of this machine, keeps
// nothing on disk but what a cluster's node knows of the cluster, and is ended, by its process, when the test is over.
package redistest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// patience is how long a server may take for what takes it milliseconds: other work on the machine may hold it up.
const patience = 20 * time.Second

// Server is one redis-server process.
type Server struct {
	t      testing.TB
	binary string
	dir    string
	addr   string
	args   []string
	admin  *redis.Client

	cmd   *exec.Cmd
	log   *bytes.Buffer // read only when ended is closed
	ended chan struct{}
}

// Start runs a server with further arguments, or skips the test when there is none to run.
func Start(t testing.TB, args ...string) *Server {
	t.Helper()
	binary, err := exec.LookPath("redis-server")
	if err != nil {
		t.Skip("left out: real Redis, since there is no redis-server on the PATH")
	}
	s := &Server{t: t, binary: binary, dir: t.TempDir(), args: args}
	for range 5 { // somebody else may take the port between its finding and its use
		s.addr = FreeAddr(t)
		if err = s.run(); err == nil {
			return s
		}
	}
	t.Fatalf("starting redis-server: %v", err)
	return nil
}

// Addr returns where the server listens, host:port.
func (s *Server) Addr() string { return s.addr }

// Kill ends the process as a power cut would.
func (s *Server) Kill() {
	_ = s.cmd.Process.Kill()
	<-s.ended
}

// Signal sends the process a signal: SIGSTOP for a server that takes connections and answers nothing, SIGCONT to have it go on.
func (s *Server) Signal(signal os.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(signal); err != nil {
		s.t.Fatalf("sending %v to a redis-server: %v", signal, err)
	}
}

// Restart runs a server that was killed once more, at the same address. It is empty then.
func (s *Server) Restart() {
	s.t.Helper()
	if err := s.run(); err != nil {
		s.t.Fatalf("starting redis-server again: %v", err)
	}
}

// Do has the server carry out one command, and fails the test when it does not.
func (s *Server) Do(args ...any) any {
	s.t.Helper()
	reply, err := s.admin.Do(s.t.Context(), args...).Result()
	if err != nil {
		s.t.Fatalf("%v on a redis-server: %v", args[0], err)
	}
	return reply
}

// run starts the process and waits until it answers.
func (s *Server) run() error {
	_, port, _ := net.SplitHostPort(s.addr)
	args := append([]string{"--port", port, "--bind", "127.0.0.1", "--unixsocket", "", "--save", "", "--appendonly", "no", "--loglevel", "warning"}, s.args...)
	cmd, log, ended := exec.Command(s.binary, args...), &bytes.Buffer{}, make(chan struct{})
	cmd.Dir, cmd.Stdout, cmd.Stderr = s.dir, log, log
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		_ = cmd.Wait()
		close(ended)
	}()
	admin := redis.NewClient(&redis.Options{Addr: s.addr, Protocol: 2, DisableIdentity: true})
	s.cmd, s.log, s.ended, s.admin = cmd, log, ended, admin
	// A test that runs into its deadline ends without cleaning up.
	last := time.AfterFunc(s.untilDeadline()-time.Second, func() { _ = cmd.Process.Kill() })
	s.t.Cleanup(func() {
		last.Stop()
		_ = admin.Close()
		_ = cmd.Process.Kill()
		<-ended
	})
	return eventually(s.t.Context(), s.answers)
}

// untilDeadline is how long go test lets the test run yet.
func (s *Server) untilDeadline() time.Duration {
	if t, ok := s.t.(*testing.T); ok {
		if deadline, limited := t.Deadline(); limited {
			return time.Until(deadline) //nolint:forbidigo // of the test itself: no order's time is about it
		}
	}
	return time.Hour
}

// answers says whether this very process answers, and not another that has the port.
func (s *Server) answers(ctx context.Context) error {
	select {
	case <-s.ended:
		return fmt.Errorf("%w: %s", errOver, s.log)
	default:
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", s.addr) // the client would log that nobody listens yet
	if err != nil {
		return err
	}
	_ = conn.Close()
	info, err := s.admin.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	if !strings.Contains(info, "\r\nprocess_id:"+strconv.Itoa(s.cmd.Process.Pid)+"\r\n") {
		return fmt.Errorf("%w: another server has the port", errOver)
	}
	return nil
}

// errOver ends the waiting: what is waited for will not come.
var errOver = errors.New("redis-server ended")

// eventually asks until there is no error. Processes are waited for, which tell nobody when they are ready.
func eventually(ctx context.Context, ask func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		err := ask(ctx)
		if err == nil || errors.Is(err, errOver) {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("not within %v: %w", patience, err)
		case <-tick.C:
		}
	}
}

// FreeAddr returns an address of this machine where nobody listens. It is below the range from which outgoing connections take their ports: nobody
// gets it by chance before its use.
func FreeAddr(t testing.TB) string {
	t.Helper()
	for range 1000 {
		addr := "127.0.0.1:" + strconv.Itoa(20_000+rand.IntN(10_000))
		l, err := net.Listen("tcp", addr)
		if err != nil {
			continue
		}
		_ = l.Close()
		return addr
	}
	t.Fatal("no free port")
	return ""
}
