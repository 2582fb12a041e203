package httpapi

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Rate is how often a caller may call: so many requests a second on average, and so many at once. The zero Rate is no limit.
type Rate struct {
	PerSecond float64
	Burst     int // 0 is PerSecond rounded up
}

// Check says what is wrong with a rate.
func (r Rate) Check() error {
	if math.IsNaN(r.PerSecond) || r.PerSecond < 0 || r.PerSecond > 1e6 || r.Burst < 0 || r.Burst > 1e6 {
		return errors.New("a rate and a burst are up to a million a second, and not below 0")
	}
	if r.PerSecond == 0 && r.Burst != 0 {
		return errors.New("a burst needs a rate")
	}
	return nil
}

// String is how a keys file has it, with a space before each part.
func (r Rate) String() string {
	var s string
	if r.PerSecond > 0 {
		s = " rate=" + strconv.FormatFloat(r.PerSecond, 'f', -1, 64) + "/s"
	}
	if r.Burst > 0 {
		s += " burst=" + strconv.Itoa(r.Burst)
	}
	return s
}

func (r Rate) burst() int {
	if r.Burst > 0 {
		return r.Burst
	}
	return max(1, int(math.Ceil(r.PerSecond)))
}

// parseRate reads rate=N/s and burst=N of a keys file.
func parseRate(options []string) (Rate, error) {
	var r Rate
	for _, option := range options {
		name, value, _ := strings.Cut(option, "=")
		var err error
		switch {
		case name == "rate" && r.PerSecond == 0:
			number, ok := strings.CutSuffix(value, "/s")
			r.PerSecond, err = strconv.ParseFloat(number, 64)
			if !ok || err != nil || !(r.PerSecond > 0) {
				return Rate{}, errors.New("a rate is rate=N/s, with N above 0")
			}
		case name == "burst" && r.Burst == 0:
			r.Burst, err = strconv.Atoi(value)
			if err != nil || r.Burst < 1 {
				return Rate{}, errors.New("a burst is burst=N, with N a whole number above 0")
			}
		default:
			return Rate{}, errors.New("behind the scopes may stand rate=N/s and burst=N, each once")
		}
	}
	return r, r.Check()
}

// whose says whose bucket it is.
type whose struct {
	source callerSource
	name   string     // of a caller
	from   netip.Addr // or where it calls from
}

// buckets are token buckets by caller, in bounded memory: two generations of maps, of which the older one is forgotten when the younger is full. Who is
// forgotten has not called for as long as maxBuckets others have, and begins with a full bucket.
type buckets struct {
	mu          sync.Mutex
	young, aged map[whose]*rate.Limiter // guarded by mu
}

// maxBuckets bounds a generation: some 3 MB in both, and far more callers than a service has.
const maxBuckets = 10_000

// of returns the bucket, at this rate from now on.
func (b *buckets) of(who whose, r Rate) *rate.Limiter {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.young[who]
	if l == nil {
		if l = b.aged[who]; l == nil {
			l = rate.NewLimiter(rate.Limit(r.PerSecond), r.burst())
		}
		if b.young == nil || len(b.young) >= maxBuckets {
			b.young, b.aged = make(map[whose]*rate.Limiter), b.young
		}
		b.young[who] = l
	}
	if l.Limit() != rate.Limit(r.PerSecond) || l.Burst() != r.burst() { // other lines of the keys file have come
		l.SetLimit(rate.Limit(r.PerSecond))
		l.SetBurst(r.burst())
	}
	return l
}

// take takes a token. Without one it says how long it is until there is.
func take(l *rate.Limiter, now time.Time) (wait time.Duration, ok bool) {
	if l.AllowN(now, 1) {
		return 0, true
	}
	missing := 1 - l.TokensAt(now)
	return time.Duration(missing / float64(l.Limit()) * float64(time.Second)), false
}

// owe takes n tokens more, whether they are there or not: what is missing must come back before the next request is let in.
func owe(l *rate.Limiter, now time.Time, n int) {
	for most := l.Burst(); n > 0; n -= most {
		l.ReserveN(now, min(n, most))
	}
}

// slowDown answers 429.
func slowDown(w http.ResponseWriter, wait time.Duration, detail string) {
	seconds := max(1, int64(math.Ceil(wait.Seconds())))
	w.Header().Set("Retry-After", strconv.FormatInt(seconds, 10))
	writeProblem(w, problem{Status: http.StatusTooManyRequests, Code: "rate", Detail: fmt.Sprintf("%s: wait %d s", detail, seconds)})
}

// addressOf returns where a request comes from: the address, or of IPv6 the /64, which is what one customer of a network has. The zero Addr when it is unknown.
func addressOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	a := at.Addr().Unmap().WithZone("")
	if a.Is4() {
		return a
	}
	network, err := a.Prefix(64)
	if err != nil {
		return a // unreachable: every IPv6 address has one
	}
	return network.Addr()
}
