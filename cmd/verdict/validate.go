package main

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"verdict/consumer/kafka"
)

// validate says all that is wrong with values that have the right form.
func (c *Config) validate() error {
	v := &faults{}
	v.must(c.Features != "", "features: the feature set is not named")
	v.must(c.Model != "", "model: the model bundle is not named")
	v.must(c.Policy != "", "policy: the policy is not named")
	v.must(c.Delivery == deliverAtLeastOnce || c.Delivery == deliverExactlyOnce, "delivery: %q is not %s or %s", c.Delivery, deliverAtLeastOnce, deliverExactlyOnce)
	v.must(c.Orders.MaxBytes > 0, "orders.max_bytes: must be above 0")
	v.must(c.Events.MaxAge >= 0, "events.max_age: must not be below 0")
	v.must(c.Events.MaxAhead >= 0, "events.max_ahead: must not be below 0")
	v.must(c.Reload.Interval >= 0, "reload.interval: must not be below 0")
	c.validateKafka(v)
	c.validateState(v)
	c.validateAPI(v)
	if err := errors.Join(v.all...); err != nil {
		return fmt.Errorf("%w config: %w", errInvalid, err)
	}
	return nil
}

// faults gathers what is wrong.
type faults struct{ all []error }

func (f *faults) must(ok bool, format string, args ...any) {
	if !ok {
		f.all = append(f.all, fmt.Errorf(format, args...))
	}
}

func (f *faults) positive(key string, d time.Duration) { f.must(d > 0, "%s: must be above 0", key) }

func (f *faults) address(key, address string) {
	_, port, err := net.SplitHostPort(address)
	n, badPort := strconv.ParseUint(port, 10, 16)
	f.must(err == nil && badPort == nil && n <= 65535, "%s: %q is not host:port", key, hidden(address))
}

// hidden is an address without what may be a password in it.
func hidden(address string) string {
	if at := strings.LastIndexByte(address, '@'); at >= 0 {
		return "***" + address[at:]
	}
	return address
}

// topicName is what Kafka takes as a topic's name.
var topicName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,249}$`)

func (c *Config) validateKafka(v *faults) {
	k := &c.Kafka
	if err := k.Check(); err != nil {
		v.all = append(v.all, err)
	}
	seen := map[string]string{} // :: topic → its key
	for _, t := range []struct{ key, name string }{
		{"orders", k.Topics.Orders},
		{"orders_sync", k.Topics.Sync},
		{"labels", k.Topics.Labels},
		{"decisions", k.Topics.Decisions},
		{"replies", k.Topics.Replies},
		{"orders_dlq", k.Topics.DeadLetters},
		{"orders_dlq_done", k.Topics.ResolvedOr()},
	} {
		v.must(topicName.MatchString(t.name) && t.name != "." && t.name != "..", "kafka.topics.%s: %q is not a topic name", t.key, t.name)
		same := strings.ReplaceAll(t.name, "_", ".") // brokers take names that differ in these alone for one
		v.must(seen[same] == "", "kafka.topics.%s: %q is kafka.topics.%s already", t.key, t.name, seen[same])
		seen[same] = t.key
	}
	for _, name := range k.ReplyTopics {
		v.must(topicName.MatchString(name), "kafka.reply_topics: %q is not a topic name", name)
	}
	for _, a := range k.BootstrapServers {
		v.address("kafka.bootstrap_servers", a)
	}
	secure := false
	for _, u := range c.Registry.URLs {
		parsed, err := url.Parse(u)
		v.must(err == nil && parsed.Host != "" && (parsed.Scheme == "http" || parsed.Scheme == "https"), "registry.urls: %q is not http://host or https://host", hidden(u))
		v.must(err != nil || parsed.User == nil, "registry.urls: user and password do not stand in the address %q but in registry.user and registry.password", hidden(u))
		secure = secure || err == nil && parsed.Scheme == "https"
	}
	v.must(secure || !c.Registry.named(), "registry.ca_file, cert_file and key_file: are of https://, and no address in registry.urls is")
	v.must(k.Replication >= 0, "kafka.replication_factor: must not be below 0")
	v.must(k.Group != "", "kafka.group_id: is empty")
	v.must(k.MaxPollRecords > 0, "kafka.max_poll_records: must be above 0")
	v.must(k.Partitions > 0, "kafka.partitions: must be above 0")
	v.must(k.ReplyPartitions > 0, "kafka.reply_partitions: must be above 0")
	v.must(k.SessionTimeout >= time.Second, "kafka.session_timeout: must be 1s or more (brokers ask for 6s by default)")
	v.positive("kafka.commit_interval", k.CommitInterval)
}

func (c *Config) validateState(v *faults) {
	v.must(c.State.Store == "memory" || c.State.Store == "redis", "state.store: %q is not redis or memory", c.State.Store)
	v.must(c.Redis.OnLoss == onLossFlag || c.Redis.OnLoss == onLossWait, "redis.on_loss: %q is not flag or wait", c.Redis.OnLoss)
	v.must(c.State.Store == "memory" || len(c.Redis.Addresses) > 0, "redis.addresses: no server is named (state.store: memory needs none, and keeps nothing)")
	for _, a := range c.Redis.Addresses {
		v.address("redis.addresses", a)
	}
	v.must(c.Redis.TLS || !c.Redis.named(), "redis.ca_file, cert_file and key_file: need redis.tls: true")
	v.positive("redis.timeout", c.Redis.Timeout)
	v.positive("state.lateness", c.State.Lateness)
	v.positive("state.decisions", c.State.Decisions)
}

func (c *Config) validateAPI(v *faults) {
	v.must(c.Lanes.AsyncShare > 0 && c.Lanes.AsyncShare <= 1, "lanes.async_share: must be above 0, and 1 at most")
	v.must(c.Lanes.AsyncBatch > 0, "lanes.async_batch: must be above 0")
	v.address("api.listen", c.API.Listen)
	v.address("admin.listen", c.Admin.Listen)
	_, port, _ := net.SplitHostPort(c.API.Listen)
	v.must(!c.Admin.BesideAPI || c.Admin.Listen != c.API.Listen || port == "0", "admin.listen: %s is api.listen already, and admin.beside_api asks for both", c.Admin.Listen)
	v.must(c.API.Grace >= 0, "api.grace: must not be below 0")
	v.positive("api.wait", c.API.Wait)
	v.must(c.API.MaxWait >= c.API.Wait, "api.max_wait: %s is below api.wait, %s", c.API.MaxWait, c.API.Wait)
	v.positive("api.max_queue", c.API.MaxQueue)
	v.must(c.API.MaxConnections > 0, "api.max_connections: must be above 0")
	v.must(c.API.MaxWaiting > 0, "api.max_waiting: must be above 0")
	v.must(c.Admin.Stalled >= time.Minute, "admin.stalled: must be 1m or more: a lane without orders is heard of every %s, and a step may take a while", kafka.IdlePoll)
	v.must(c.API.MaxBatch > 0, "api.max_batch: must be above 0")
	v.must(c.API.MaxBatchBytes > 0, "api.max_batch_bytes: must be above 0")
	v.must(c.API.ReplyPartition >= -1, "api.reply_partition: must be a partition, or -1 for one that is free")
	c.validateAccess(v)
}
