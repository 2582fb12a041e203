package virtual_test

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"verdict/cmd/verdict/internal/virtual"
)

// joined returns both ends of a connection between two hosts.
func joined(t *testing.T, n *virtual.Network) (dialler, dialled net.Conn) {
	t.Helper()
	l, err := n.Listen("tcp", "127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan net.Conn, 1)
	go func() {
		c, _ := l.Accept()
		accepted <- c
	}()
	if dialler, err = n.Dialer("a")(t.Context(), "tcp", "127.0.0.1:1"); err != nil {
		t.Fatal(err)
	}
	dialled = <-accepted
	t.Cleanup(func() { _, _ = dialler.Close(), dialled.Close() })
	return dialler, dialled
}

func every(virtual.Link) bool { return true }

func write(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, c net.Conn, want string) {
	t.Helper()
	got := make([]byte, len(want))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != want {
		t.Fatalf("read %q, %v, want %q", got, err, want)
	}
}

func TestBytesArriveAfterTheLatencyInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		latency := []time.Duration{0, 30 * time.Millisecond, 10 * time.Millisecond}
		n := &virtual.Network{Latency: func(virtual.Link) time.Duration {
			d := latency[0]
			latency = latency[1:]
			return d
		}}
		a, b := joined(t, n)
		began := time.Now()
		write(t, a, "one")
		write(t, a, "two")
		read(t, b, "onetwo")
		if took := time.Since(began); took != 30*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

func TestWhatIsHeldArrivesLater(t *testing.T) {
	for _, rule := range []*virtual.Rule{{On: every, Hold: true}, {On: every, Mute: true}} {
		synctest.Test(t, func(t *testing.T) {
			n := &virtual.Network{}
			a, b := joined(t, n)
			n.Add(rule)
			write(t, a, "held")
			time.AfterFunc(time.Minute, func() { n.Remove(rule) })
			began := time.Now()
			read(t, b, "held")
			if took := time.Since(began); took != time.Minute {
				t.Errorf("it took %v", took)
			}
		})
	}
}

func TestOneDirectionIsHeldAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &virtual.Network{}
		a, b := joined(t, n)
		n.Add(&virtual.Rule{On: every, Deaf: true})
		write(t, a, "there")
		read(t, b, "there")
		write(t, b, "back")
		_ = a.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		n.Heal()
		_ = a.SetReadDeadline(time.Time{})
		read(t, a, "back")
	})
}

func TestADeadlineEndsAReadThatWaitsAlready(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a, _ := joined(t, &virtual.Network{})
		time.AfterFunc(time.Second, func() { _ = a.SetDeadline(time.Now()) })
		if _, err := a.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
	})
}

func TestACutConnectionIsBrokenAtBothEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &virtual.Network{}
		a, b := joined(t, n)
		write(t, a, "lost")
		if cut := n.Cut(every); cut != 1 {
			t.Fatalf("cut %d", cut)
		}
		for _, c := range []net.Conn{a, b} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
			if _, err := c.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
				t.Error(err)
			}
		}
	})
}

func TestWhatAnIsolatedHostHadWrittenArrivesAndNothingElse(t *testing.T) {
	for _, host := range []string{"a", "127.0.0.1:1"} {
		synctest.Test(t, func(t *testing.T) {
			n := &virtual.Network{Latency: func(virtual.Link) time.Duration { return time.Millisecond }}
			a, b := joined(t, n)
			write(t, a, "last")
			n.Isolate(host)
			n.Heal()
			read(t, b, "last")
			if _, err := b.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
				t.Error(err)
			}
			for _, c := range []net.Conn{a, b} {
				if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
					t.Error(err)
				}
			}
			if _, err := n.Dialer("a")(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		})
	}
}

func TestAWriteBreaksAfterItsFirstPart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &virtual.Network{}
		a, b := joined(t, n)
		n.Add(&virtual.Rule{On: every, Break: func(reply bool, _ int) (int, bool) { return 2, !reply }})
		if _, err := a.Write([]byte("torn")); !errors.Is(err, syscall.ECONNRESET) {
			t.Fatal(err)
		}
		if got, err := io.ReadAll(b); string(got) != "to" || err != nil {
			t.Fatalf("%q, %v", got, err)
		}
	})
}

func TestAWriterWaitsForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &virtual.Network{}
		a, b := joined(t, n)
		_ = a.SetWriteDeadline(time.Now().Add(time.Minute))
		write(t, a, strings.Repeat("x", 1<<20))
		time.AfterFunc(time.Second, func() { _, _ = b.Read(make([]byte, 10)) })
		began := time.Now()
		write(t, a, "yyyyyyyyyy")
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %v", took)
		}
		if _, err := a.Write([]byte("z")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

func TestDiallingIsRefusedOrHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &virtual.Network{}
		dial := n.Dialer("a")
		if _, err := dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("nobody listens: %v", err)
		}
		l, err := n.Listen("tcp", "127.0.0.1:1")
		if err != nil {
			t.Fatal(err)
		}
		n.Add(&virtual.Rule{On: func(l virtual.Link) bool { return l.From == "a" }, Hold: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := dial(ctx, "tcp", "127.0.0.1:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("behind a cut cable: %v", err)
		}
		n.Heal()
		n.Add(&virtual.Rule{On: every, Refuse: true})
		if _, err := dial(t.Context(), "tcp", "127.0.0.1:1"); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		_ = l.Close()
		if n.Open(every) != 0 {
			t.Error("connections are left")
		}
	})
}
