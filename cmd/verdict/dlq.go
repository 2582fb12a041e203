package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"verdict/consumer"
)

func newDLQCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "dlq",
		Short: "Work with dead letters: list, show, retry, drop",
		Long: `Work with dead letters: the orders and labels that could not be decided, on the topic orders.dlq. A letter that was retried or dropped stays where it is, as
a log keeps what is written; that it is done with is noted on the topic orders.dlq.done. docs/operations.md says how and why.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return fmt.Errorf("%w usage: %s list, show, retry or drop", errInvalid, c.CommandPath())
		},
	}
	c.AddCommand(newDLQListCommand(), newDLQShowCommand(), newDLQRetryCommand(), newDLQDropCommand())
	return c
}

// dlqFlags say which dead letters are meant.
type dlqFlags struct {
	config       string
	codes        []string
	topics       []string
	since, until string
	limit        int
}

func (f *dlqFlags) register(c *cobra.Command) {
	c.Flags().StringVarP(&f.config, "config", "c", "", "the config of serve; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
}

func (f *dlqFlags) registerFilters(c *cobra.Command) {
	f.register(c)
	c.Flags().StringSliceVar(&f.codes, "code", nil, "only with this error `CODE`, or one of several")
	c.Flags().StringSliceVar(&f.topics, "from-topic", nil, "only of records that lay in this `TOPIC`, or one of several")
	c.Flags().StringVar(&f.since, "since", "", "only letters of this `TIME` or later: RFC 3339, a date, or how long ago (90m, 1h, 7d)")
	c.Flags().StringVar(&f.until, "until", "", "only letters from before this `TIME`")
	c.Flags().IntVar(&f.limit, "limit", 0, "at most so many, the oldest first; 0 is all")
}

// dlq is a command at work on the dead letters of a site.
type dlq struct {
	cfg    Config
	log    *slog.Logger
	choice dlqChoice
}

// open reads the config and what is to be chosen.
func (f *dlqFlags) open(positions []string) (*dlq, error) {
	cfg, err := loadConfig(configFileOr(f.config), os.Environ())
	if err != nil {
		return nil, err
	}
	if len(cfg.Kafka.BootstrapServers) == 0 {
		return nil, fmt.Errorf("%w usage: no Kafka is named: give -c FILE with kafka.bootstrap_servers", errInvalid)
	}
	choice, err := f.choose(positions, time.Now())
	if err != nil {
		return nil, fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	log, err := clientLog(cfg.Log)
	if err != nil {
		return nil, err
	}
	cfg.Kafka.Log = log
	return &dlq{cfg: cfg, log: log, choice: choice}, nil
}

// dlqChoice is which letters are meant: all that are not done with, or fewer.
type dlqChoice struct {
	codes, topics []string
	since, until  time.Time
	limit         int
	positions     []position
	done          bool // also those that are done with
}

// position is where a letter lies in its topic.
type position struct {
	partition int32
	offset    int64
}

func (p position) String() string {
	return strconv.Itoa(int(p.partition)) + ":" + strconv.FormatInt(p.offset, 10)
}

func positionOf(r *consumer.Record) position { return position{r.Partition, r.Offset} }

func (f *dlqFlags) choose(positions []string, now time.Time) (c dlqChoice, err error) {
	c.codes, c.topics, c.limit = f.codes, f.topics, f.limit
	if f.limit < 0 {
		return c, errors.New("--limit must not be negative")
	}
	if c.since, err = parseMoment(f.since, now); err != nil {
		return c, fmt.Errorf("--since: %w", err)
	}
	if c.until, err = parseMoment(f.until, now); err != nil {
		return c, fmt.Errorf("--until: %w", err)
	}
	if !c.since.IsZero() && !c.until.IsZero() && !c.since.Before(c.until) {
		return c, errors.New("--since must lie before --until")
	}
	for _, text := range positions {
		p, err := parsePosition(text)
		if err != nil {
			return c, err
		}
		if !slices.Contains(c.positions, p) {
			c.positions = append(c.positions, p)
		}
	}
	if len(c.positions) > 0 && c.narrowed() {
		return c, errors.New("letters are named by place or by filters, not by both")
	}
	return c, nil
}

// narrowed says whether there are filters.
func (c *dlqChoice) narrowed() bool {
	return len(c.codes)+len(c.topics) > 0 || !c.since.IsZero() || !c.until.IsZero() || c.limit > 0
}

// takes says whether a letter is meant, as far as the letter itself can say.
func (c *dlqChoice) takes(l *consumer.Letter) bool {
	switch at := l.Record.Time; {
	case len(c.positions) > 0:
		return slices.Contains(c.positions, positionOf(&l.Record))
	case len(c.codes) > 0 && !slices.Contains(c.codes, l.Code), len(c.topics) > 0 && !slices.Contains(c.topics, l.Source.Topic):
		return false
	default:
		return (c.since.IsZero() || !at.Before(c.since)) && (c.until.IsZero() || at.Before(c.until))
	}
}

// parseMoment reads a time, or how long ago it was; "" is the zero time.
func parseMoment(text string, now time.Time) (time.Time, error) {
	if d, err := parseDuration(text); err == nil && d >= 0 && text != "" {
		return now.Add(-d), nil
	}
	t, err := parseTime(text)
	if err != nil {
		return t, fmt.Errorf("%w, nor how long ago it was, such as 90m, 1h, 7d", err)
	}
	return t, nil
}

// parsePosition reads PARTITION:OFFSET.
func parsePosition(text string) (position, error) {
	partition, offset, ok := strings.Cut(text, ":")
	p, bad := strconv.ParseUint(partition, 10, 31)
	o, worse := strconv.ParseUint(offset, 10, 63)
	if !ok || bad != nil || worse != nil {
		return position{}, fmt.Errorf("%q is not PARTITION:OFFSET, as verdict dlq list writes it", text)
	}
	return position{int32(p), int64(o)}, nil
}
