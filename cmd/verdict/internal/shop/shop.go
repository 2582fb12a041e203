// Package shop makes up the orders of a demo: customers with habits at terminals that lie near them, and three kinds of fraud planted among them. It
// follows the simulator of the Fraud Detection Handbook (chapter 3, "Transaction data simulator"), from whose data the example model was trained, so that
// the model meets here what it learned there. The same seed makes the same shop.
package shop

import (
	"math"
	"math/rand/v2"
	"strconv"
	"time"
)

// Order is one order as the demo sends it, and what the shop knows of it.
type Order struct {
	ID       string
	At       time.Time
	Customer string
	Terminal string
	Amount   float64 // whole cents
	Scenario int     // 0 genuine, 1 a large amount, 2 a compromised terminal, 3 a stolen card
}

// Fraud says whether the shop planted this order as a fraud.
func (o Order) Fraud() bool { return o.Scenario != 0 }

// Config sizes a shop. The zero value is a shop of 500 customers and 1,000 terminals.
type Config struct {
	Seed      uint64
	Customers int
	Terminals int
	Start     time.Time // of the simulated time
}

type customer struct {
	x, y        float64
	mean, std   float64
	perDay      float64
	terminals   []int // those within reach
	stolenUntil time.Time
}

// Shop makes orders in time order. One goroutine uses it.
type Shop struct {
	cfg         Config
	rng         *rand.Rand
	customers   []customer
	compromised map[int]time.Time // :: terminal → until when
	now         time.Time
	day         int
	perDay      float64 // orders of all customers a day
	made        int
}

// How frauds are planted: the Handbook compromises 2 of 10,000 terminals and 3 of 5,000 customers a day; this shop is smaller and shows more of both, as
// a demo lasts minutes. A card's thief buys for 5 times the usual amount in one of three orders; above 220 everything is a fraud.
const (
	reach             = 5.0
	largeAmount       = 220.0
	terminalsADay     = 1
	terminalBadDays   = 28
	cardsADay         = 1
	cardBadDays       = 14
	stolenMultiple    = 5.0
	stolenOneIn       = 3
	dayLength         = 24 * time.Hour
	secondsADay       = 86400.0
	meanOfDay         = secondsADay / 2
	spreadOfDay       = 20000.0
	largestCleanShare = 0.004 // of orders that are made large on purpose, so that scenario 1 shows up in a small shop
)

// New makes the customers and terminals.
func New(cfg Config) *Shop {
	if cfg.Customers == 0 {
		cfg.Customers = 500
	}
	if cfg.Terminals == 0 {
		cfg.Terminals = 1000
	}
	s := &Shop{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 1)), compromised: make(map[int]time.Time), now: cfg.Start, day: -1} //nolint:gosec // made-up orders
	side := 100 * math.Sqrt(float64(cfg.Terminals)/10_000)                                                                       // as dense as the Handbook's 10,000 on 100 × 100
	type place struct{ x, y float64 }
	places := make([]place, cfg.Terminals)
	for i := range places {
		places[i] = place{s.rng.Float64() * side, s.rng.Float64() * side}
	}
	for range cfg.Customers {
		c := customer{x: s.rng.Float64() * side, y: s.rng.Float64() * side, mean: 5 + 95*s.rng.Float64(), perDay: 4 * s.rng.Float64()}
		c.std = c.mean / 2
		for t, p := range places {
			if math.Hypot(p.x-c.x, p.y-c.y) < reach {
				c.terminals = append(c.terminals, t)
			}
		}
		if len(c.terminals) == 0 {
			c.terminals = []int{s.rng.IntN(cfg.Terminals)}
		}
		s.perDay += c.perDay
		s.customers = append(s.customers, c)
	}
	return s
}

// PerDay returns how many orders the shop makes a simulated day, on average.
func (s *Shop) PerDay() float64 { return s.perDay }

// Next makes the next order.
func (s *Shop) Next() Order {
	s.now = s.now.Add(time.Duration(s.rng.ExpFloat64() / s.perDay / s.rate() * float64(dayLength))).Truncate(time.Second)
	if day := int(s.now.Sub(s.cfg.Start) / dayLength); day != s.day {
		s.day = day
		s.plant()
	}
	c := s.buyer()
	o := Order{At: s.now, Customer: strconv.Itoa(c), Terminal: strconv.Itoa(s.customers[c].terminals[s.rng.IntN(len(s.customers[c].terminals))])}
	o.Amount, o.Scenario = s.amount(&s.customers[c])
	terminal, _ := strconv.Atoi(o.Terminal)
	if until, bad := s.compromised[terminal]; bad && s.now.Before(until) {
		o.Scenario = 2
	}
	s.made++
	o.ID = "demo-" + strconv.FormatUint(s.cfg.Seed, 36) + "-" + strconv.Itoa(s.made)
	return o
}

// rate is how busy this time of day is: a bell around noon with mean 1 over the day, and never quite 0.
func (s *Shop) rate() float64 {
	t := s.now.Sub(s.now.Truncate(dayLength)).Seconds()
	bell := math.Exp(-0.5*(t-meanOfDay)/spreadOfDay*((t-meanOfDay)/spreadOfDay)) * secondsADay / (spreadOfDay * math.Sqrt(2*math.Pi))
	return math.Max(bell, 0.05)
}

// buyer draws a customer, each as often as they buy.
func (s *Shop) buyer() int {
	at := s.rng.Float64() * s.perDay
	for i := range s.customers {
		if at -= s.customers[i].perDay; at < 0 {
			return i
		}
	}
	return len(s.customers) - 1
}

func (s *Shop) amount(c *customer) (amount float64, scenario int) {
	a := c.mean + c.std*s.rng.NormFloat64()
	if a < 0 {
		a = 2 * c.mean * s.rng.Float64()
	}
	if s.rng.Float64() < largestCleanShare {
		a = largeAmount * (1 + s.rng.Float64())
	}
	if s.now.Before(c.stolenUntil) && s.rng.IntN(stolenOneIn) == 0 {
		a, scenario = a*stolenMultiple, 3
	}
	if scenario == 0 && a > largeAmount {
		scenario = 1
	}
	return math.Round(a*100) / 100, scenario
}

// plant begins the day's frauds.
func (s *Shop) plant() {
	for range terminalsADay {
		s.compromised[s.rng.IntN(s.cfg.Terminals)] = s.now.Add(terminalBadDays * dayLength)
	}
	for range cardsADay {
		s.customers[s.rng.IntN(len(s.customers))].stolenUntil = s.now.Add(cardBadDays * dayLength)
	}
}
