package replay_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"verdict/consumer/replay"
)

func TestProgressIsALineNowAndThen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		end := replay.Progress(&told, false, 1000, 25, 100)
		time.Sleep(11 * time.Second)
		end()
		want := "replay: 1000 orders, 25 % of the file, 200 orders/s\nreplay: 1000 orders, 25 % of the file, 100 orders/s\n"
		if diff := cmp.Diff(want, told.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProgressOfAStreamHasNoShare(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told bytes.Buffer
		end := replay.Progress(&told, false, 1000, 25, 0)
		time.Sleep(6 * time.Second)
		end()
		if diff := cmp.Diff("replay: 1000 orders, 200 orders/s\n", told.String()); diff != "" {
			t.Error(diff)
		}
	})
}

func TestProgressIsABarOnATerminal(t *testing.T) {
	for _, size := range []int64{100, 0} {
		synctest.Test(t, func(t *testing.T) {
			var told bytes.Buffer
			end := replay.Progress(&told, true, 1000, 25, size)
			time.Sleep(time.Second + time.Millisecond)
			end()
			if !strings.Contains(told.String(), "1000 orders, 1000/s") {
				t.Errorf("of %d bytes told %q", size, told.String())
			}
			if strings.Contains(told.String(), "\x1b[3") {
				t.Errorf("colours in %q", told.String())
			}
		})
	}
}
