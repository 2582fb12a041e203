package main

import (
	"cmp"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"verdict/consumer"
	"verdict/consumer/kafka"
)

// siteFlags say which site a command works on: its Kafka and its store, as verdict.yaml has them or on the command line.
type siteFlags struct{ config, schema, store, prefix string }

func (f *siteFlags) register(c *cobra.Command) {
	c.Flags().StringVarP(&f.config, "config", "c", "", "the config of serve; without one ./verdict.yaml if it is there, and the environment (VERDICT_…)")
	c.Flags().StringVar(&f.store, "store", "", "the store, in place of the config's: `redis://[user:password@]host:port[/db]`, rediss:// with TLS")
	c.Flags().StringVar(&f.prefix, "prefix", "", "what its keys begin with, in place of the config's")
}

// load reads the config, with what the flags say in place of what it says.
func (f *siteFlags) load(environ []string) (Config, error) {
	file := configFileOr(f.config)
	cfg, err := loadConfig(file, environ)
	if err != nil {
		return cfg, err
	}
	if file == "" {
		cfg.Orders.Schema = cmp.Or(cfg.Orders.Schema, anySchema)
	}
	cfg.Orders.Schema = cmp.Or(f.schema, cfg.Orders.Schema)
	cfg.Redis.Prefix = cmp.Or(f.prefix, cfg.Redis.Prefix)
	if f.store != "" {
		err = setStore(&cfg.Redis, f.store)
	}
	if err == nil && (cfg.State.Store != "redis" || len(cfg.Redis.Addresses) == 0) {
		err = errors.New("no Redis is named: give -c FILE with redis.addresses, or --store redis://host:port")
	}
	if err != nil {
		return cfg, fmt.Errorf("%w usage: %w", errInvalid, err)
	}
	return cfg, nil
}

// setStore reads the URL of a Redis server.
func setStore(cfg *RedisConfig, text string) error {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "redis" && u.Scheme != "rediss" {
		return errors.New("--store is not redis://[user:password@]host:port[/db]") // it may hold a password: not shown
	}
	cfg.Addresses, cfg.TLS, cfg.DB = []string{u.Host}, u.Scheme == "rediss", 0
	if db := strings.Trim(u.Path, "/"); db != "" {
		if cfg.DB, err = strconv.Atoi(db); err != nil || cfg.DB < 0 {
			return fmt.Errorf("--store: %q is not the number of a database", db)
		}
	}
	if u.User != nil {
		cfg.Username = u.User.Username()
		cfg.Password, _ = u.User.Password()
	}
	return nil
}

// topicsOf reads --orders and --labels of kafka://, and returns what is to be read and the order topics of all lanes. Nothing given is what cfg has.
func topicsOf(cfg *KafkaConfig, orders, labels string) (read []kafka.HistoryTopic, lanes []string, err error) {
	lanes = []string{cfg.Topics.Orders, cfg.Topics.Sync}
	names, known := lanes, []string{cfg.Topics.Labels}
	if orders != "" {
		if cfg.BootstrapServers, names, err = kafka.ParseURL(orders); err != nil {
			return nil, nil, fmt.Errorf("--orders: %w", err)
		}
		known = nil
		if slices.ContainsFunc(names, func(name string) bool { return !slices.Contains(lanes, name) }) {
			lanes = names
		}
	}
	if labels != "" {
		servers, topics, err := kafka.ParseURL(labels)
		if err != nil {
			return nil, nil, fmt.Errorf("--labels: %w", err)
		}
		if orders != "" && !slices.Equal(servers, cfg.BootstrapServers) {
			return nil, nil, errors.New("--labels: another Kafka than that of --orders")
		}
		cfg.BootstrapServers, known = servers, topics
	}
	if len(cfg.BootstrapServers) == 0 {
		return nil, nil, errors.New("no orders are named: give --orders SRC, or -c FILE with kafka.bootstrap_servers")
	}
	for _, name := range known { // first: of a label and an order of one time the worker learns the label first
		read = append(read, kafka.HistoryTopic{Name: name, Stream: consumer.Labels})
	}
	for _, name := range names {
		read = append(read, kafka.HistoryTopic{Name: name, Stream: consumer.Orders})
	}
	return read, lanes, nil
}

// parseOffsets reads topic/partition:offset,….
func parseOffsets(text string) (kafka.Offsets, error) {
	out := make(kafka.Offsets)
	for part := range strings.SplitSeq(text, ",") {
		place, offset, ok := strings.Cut(part, ":")
		topic, partition, slash := strings.Cut(place, "/")
		p, bad := strconv.ParseInt(partition, 10, 32)
		o, worse := strconv.ParseInt(offset, 10, 64)
		if !ok || !slash || topic == "" || bad != nil || worse != nil || p < 0 || o < 0 {
			return nil, fmt.Errorf("%q is not topic/partition:offset", part)
		}
		if out[topic] == nil {
			out[topic] = make(map[int32]int64)
		}
		if _, twice := out[topic][int32(p)]; twice {
			return nil, fmt.Errorf("%s/%d is given twice", topic, p)
		}
		out[topic][int32(p)] = o
	}
	return out, nil
}
