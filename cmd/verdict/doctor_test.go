package main_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/alicebob/miniredis/v2/server"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"verdict/schemas"
	"verdict/schemas/schematest"
)

// examined is what verdict doctor --json says.
type examined struct {
	Findings []struct{ Status, About, Says, Do string }
	Errors   int
	ACLs     map[string][]string
}

func doctor(t *testing.T, ctx context.Context, config string, args ...string) (int, examined) {
	t.Helper()
	code, out, stderr := verdict(t, ctx, append([]string{"doctor", "--json", "-c", config}, args...)...)
	var e examined
	if err := json.Unmarshal([]byte(out), &e); err != nil {
		t.Fatalf("%d, %v: %s%s", code, err, out, stderr)
	}
	return code, e
}

// wants holds findings against some that must be there: "status about: a part of what it says".
func (e examined) wants(t *testing.T, want ...string) {
	t.Helper()
	for _, w := range want {
		status, rest, _ := strings.Cut(w, " ")
		about, part, _ := strings.Cut(rest, ": ")
		found := false
		for _, f := range e.Findings {
			found = found || f.Status == status && f.About == about && strings.Contains(f.Says, part) && (status == "ok") == (f.Do == "")
		}
		if !found {
			t.Errorf("no %q in\n%+v", w, e.Findings)
		}
	}
}

// without says that nothing of that status was found.
func (e examined) without(t *testing.T, status string, but ...string) {
	t.Helper()
	for _, f := range e.Findings {
		known := f.Status != status
		for _, b := range but {
			known = known || strings.HasPrefix(f.About+": "+f.Says, b)
		}
		if !known {
			t.Errorf("%+v", f)
		}
	}
}

// fakeRedis is a Redis that says of itself what the test has it say.
func fakeRedis(t *testing.T, info string, ahead time.Duration) string {
	t.Helper()
	m := miniredis.RunT(t)
	m.Server().SetPreHook(func(c *server.Peer, cmd string, args ...string) bool {
		switch {
		case strings.EqualFold(cmd, "INFO"):
			c.WriteBulk(strings.ReplaceAll(info, " ", "\r\n") + "\r\n")
		case strings.EqualFold(cmd, "TIME"):
			at := time.Now().Add(ahead)
			c.WriteLen(2)
			c.WriteBulk(strconv.FormatInt(at.Unix(), 10))
			c.WriteBulk(strconv.Itoa(at.Nanosecond() / 1000))
		default:
			return false
		}
		return true
	})
	return m.Addr()
}

const soundRedis = "redis_version:7.2.4 role:master loading:0 aof_enabled:1 maxmemory:4000000000 maxmemory_policy:noeviction used_memory:2000000 evicted_keys:0 uptime_in_seconds:60"

// soundSite is a cluster of three brokers with topics as deploy/topics.yaml has them.
func soundSite(t *testing.T, ctx context.Context) (site, *kadm.Client) {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(3), kfake.BrokerConfigs(map[string]string{"group.initial.rebalance.delay.ms": "0"}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := site{name: "in-process", kafka: cluster.ListenAddrs(), redis: fakeRedis(t, soundRedis, 0), prefix: "s-"}
	client, err := kgo.NewClient(kgo.SeedBrokers(s.kafka...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	admin := kadm.NewClient(client)
	retention, insync := "34560000000", "2"
	for _, name := range []string{"orders", "orders.sync", "labels", "decisions", "replies", "orders.dlq"} {
		configs := map[string]*string{"retention.ms": &retention, "min.insync.replicas": &insync}
		if _, err := admin.CreateTopic(ctx, 4, 3, configs, s.topic(name)); err != nil {
			t.Fatal(err)
		}
	}
	return s, admin
}

func TestDoctorFindsNothingWrongWithASoundSite(t *testing.T) {
	ctx := within(t, time.Minute)
	s, _ := soundSite(t, ctx)
	code, e := doctor(t, ctx, s.config(t, "", ""))
	e.without(t, "error")
	e.without(t, "warning", "api: everyone", "kafka topic s-")
	e.wants(t, "ok files: features handbook@1", "ok secrets: no file", "ok kafka: 3 brokers", "ok kafka rights: ", "ok kafka group s-group: nothing yet",
		"ok redis "+s.redis+": redis 7.2.4", "ok redis prefix s-: no feature set", "ok registry: none")
	if code != 0 || e.Errors != 0 {
		t.Errorf("%d, %d errors", code, e.Errors)
	}
	code, out, _ := verdict(t, ctx, "doctor", "-c", s.config(t, "", ""), "--principal", "User:CN=a b")
	if code != 0 || !strings.Contains(out, "kafka-acls.sh --bootstrap-server "+strings.Join(s.kafka, ",")+" --add --allow-principal 'User:CN=a b' --operation Read --operation Describe --group s-group --group s-group.sync\n") {
		t.Errorf("%d: %s", code, out)
	}
}

func TestDoctorLooksAtTransactionsWhereTheyAreWanted(t *testing.T) {
	ctx := within(t, time.Minute)
	s, _ := soundSite(t, ctx)
	_, e := doctor(t, ctx, s.config(t, "", "delivery: exactly_once"))
	told := 0
	for _, f := range e.Findings {
		if f.About == "delivery" && strings.HasPrefix(f.Says, "exactly_once") && f.Status != "error" {
			told++
		}
	}
	if want := "--resource-pattern-type prefixed --transactional-id s-group."; told != 1 || !slices.ContainsFunc(e.ACLs["scorer"], func(line string) bool { return strings.HasSuffix(line, want) }) {
		t.Errorf("%+v, %v", e.Findings, e.ACLs["scorer"])
	}
	if _, e := doctor(t, ctx, s.config(t, "", "")); strings.Contains(fmt.Sprint(e), "transactional-id") || strings.Contains(fmt.Sprint(e), "exactly_once") {
		t.Errorf("%+v", e)
	}
}

func TestDoctorFindsWhatIsWrongWithTopicsAndGroups(t *testing.T) {
	ctx := within(t, time.Minute)
	s, admin := soundSite(t, ctx)
	set := func(topic, name, value string) {
		if _, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Name: name, Value: &value}}, s.topic(topic)); err != nil {
			t.Fatal(err)
		}
	}
	set("decisions", "cleanup.policy", "compact")
	set("orders", "retention.ms", "604800000")
	set("labels", "min.insync.replicas", "4")
	set("orders.sync", "max.message.bytes", "1000")
	if _, err := admin.DeleteTopics(ctx, s.topic("replies")); err != nil {
		t.Fatal(err)
	}
	c := s.client(t)
	for range 5 {
		s.produce(t, ctx, c, "orders.dlq", []byte("x"))
	}
	s.behind(t, ctx, admin)
	code, e := doctor(t, ctx, s.config(t, "", ""))
	e.wants(t,
		"error kafka topic s-decisions: cleanup.policy is compact", "warning kafka topic s-orders: retention.ms keeps it for 7d", "error kafka topic s-labels: nothing can be written",
		"warning kafka topic s-orders.sync: max.message.bytes is 1000", "warning kafka topic s-replies: it is not there",
		"error kafka group s-group: log gap in s-orders.dlq/0: it is at offset 1, and the log begins at 3: 2 records were deleted", "error kafka group s-group.sync: offset 9 of s-orders.dlq/0, whose log ends at 5")
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	_, e = doctor(t, ctx, s.config(t, "", "kafka.create_topics: false"))
	e.wants(t, "error kafka topic s-replies: no such topic")
}

// behind has both groups stand where the log is not, each on the five records of a partition.
func (s site) behind(t *testing.T, ctx context.Context, admin *kadm.Client) {
	t.Helper()
	ends, err := admin.ListEndOffsets(ctx, s.topic("orders.dlq"))
	if err != nil {
		t.Fatal(err)
	}
	partition := int32(-1)
	ends.Each(func(o kadm.ListedOffset) {
		if o.Offset == 5 {
			partition = o.Partition
		}
	})
	for group, at := range map[string]int64{"group": 1, "group.sync": 9} {
		var offsets kadm.Offsets
		offsets.AddOffset(s.topic("orders.dlq"), partition, at, -1)
		if err := admin.CommitAllOffsets(ctx, s.topic(group), offsets); err != nil {
			t.Fatal(err)
		}
	}
	var cut kadm.Offsets
	cut.AddOffset(s.topic("orders.dlq"), partition, 3, -1)
	if _, err := admin.DeleteRecords(ctx, cut); err != nil {
		t.Fatal(err)
	}
}

func TestDoctorSaysWhichRightsTheClientLacks(t *testing.T) {
	ctx := within(t, time.Minute)
	may := func(prefix string, op kmsg.ACLOperation) kfake.ACL {
		return kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: prefix, Pattern: kmsg.ACLResourcePatternTypePrefixed, Operation: op, Allow: true}
	}
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.EnableSASL(), kfake.EnableACLs(), kfake.Superuser("PLAIN", "root", "root"),
		kfake.User("PLAIN", "v", "v", may("s-", kmsg.ACLOperationDescribe), may("s-orders", kmsg.ACLOperationRead)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	s := site{kafka: cluster.ListenAddrs(), redis: fakeRedis(t, soundRedis, 0), prefix: "s-"}
	config := func(user string) string {
		return s.config(t, "", fmt.Sprintf("kafka.security_protocol: SASL_PLAINTEXT\nkafka.sasl_mechanism: PLAIN\nkafka.sasl_username: %[1]s\nkafka.sasl_password: %[1]s", user))
	}
	start(t, "serve", "--role", "scorer", "-c", config("root")) // makes the topics
	code, e := doctor(t, ctx, config("v"), "--role", "scorer")
	e.wants(t, "error kafka rights: as scorer this client lacks Read s-labels, Read s-decisions, Write s-decisions, Write s-orders.dlq, Write s-replies", "error kafka group s-group: ")
	for _, f := range e.Findings {
		if want := "--operation Read --topic s-labels --topic s-decisions\n"; f.About == "kafka rights" && !strings.Contains(f.Do, want) {
			t.Errorf("%q", f.Do)
		}
	}
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	_, e = doctor(t, ctx, config("root"))
	e.wants(t, "ok kafka rights: all that it needs")
}

func TestDoctorFindsWhatIsWrongWithRedis(t *testing.T) {
	ctx := within(t, time.Minute)
	s, _ := soundSite(t, ctx)
	for _, c := range []struct {
		info  string
		ahead time.Duration
		want  string
	}{
		{"maxmemory_policy:allkeys-lru", 0, "error ADDR: maxmemory-policy is allkeys-lru"},
		{"evicted_keys:7", 0, "error ADDR: dropped 7 keys"},
		{"redis_version:6.2.1", 0, "error ADDR: does not know SET NX GET"},
		{"role:slave", 0, "error ADDR: it is a replica"},
		{"loading:1", 0, "error ADDR: loading"},
		{"maxmemory:0", 0, "warning ADDR: maxmemory is not set"},
		{"used_memory:3900000000", 0, "error ADDR: soon nothing can be written"},
		{"aof_enabled:0", 0, "warning ADDR: it keeps nothing on disk"},
		{"", 5 * time.Second, "warning ADDR: ahead of this machine's"},
		{"", -time.Hour, "warning ADDR: behind this machine's"},
	} {
		s.redis = fakeRedis(t, soundRedis+" "+c.info, c.ahead)
		code, e := doctor(t, ctx, s.config(t, "", ""))
		e.wants(t, strings.Replace(c.want, "ADDR", "redis "+s.redis, 1))
		if want := strings.HasPrefix(c.want, "error"); (code == 1) != want {
			t.Errorf("%s: exit code %d", c.want, code)
		}
	}
}

func TestDoctorLooksAtTheRestWhereServersAreAway(t *testing.T) {
	ctx := within(t, time.Minute)
	s := site{kafka: []string{"127.0.0.1:1"}, redis: "127.0.0.1:1", prefix: "s-"}
	code, e := doctor(t, ctx, s.config(t, "", "registry: {urls: ['http://127.0.0.1:1']}"))
	e.wants(t, "ok files: features", "error kafka: 127.0.0.1:1", "error redis: 127.0.0.1:1", "error registry: latest schema")
	if code != 1 || e.Errors != 3 {
		t.Errorf("%d, %d errors", code, e.Errors)
	}
}

func TestDoctorLooksAtFilesSecretsAndSchemas(t *testing.T) {
	ctx := within(t, time.Minute)
	s, _ := soundSite(t, ctx)
	registry, _ := schematest.Registry(t)
	orderSchema, _ := schemas.DefaultText("order")
	schematest.Register(t, registry, "s-orders-value", orderSchema)
	schematest.Register(t, registry, "s-orders.sync-value", `{"type":"record","name":"o","fields":[{"name":"order_id","type":"string"}]}`)
	password := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(password, []byte("x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(password, 0o644); err != nil {
		t.Fatal(err)
	}
	config := s.config(t, "", fmt.Sprintf("registry: {urls: [%q], user: u, password_file: %s}", registry.URL(), password))
	code, e := doctor(t, ctx, config)
	e.wants(t, "warning secrets: (registry.password_file) may be read", "ok registry subject s-orders-value: has all fields", "warning registry subject s-orders.sync-value: lacks what the features ask for")
	if code != 0 {
		t.Errorf("exit code %d", code)
	}
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	wrong := strings.Replace(string(text), "models/handbook/1", "models/handbook/77", 1)
	if err := os.WriteFile(config, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, e = doctor(t, ctx, config); code != 1 {
		t.Errorf("exit code %d", code)
	}
	e.wants(t, "error files: models/handbook/77", "ok redis "+s.redis+": 7.2.4")
	if code, _, stderr := verdict(t, ctx, "doctor", "-c", s.config(t, "", "redis.timeuot: 1s")); code != 2 || !strings.Contains(stderr, "redis.timeout") {
		t.Errorf("an invalid config: %d, %s", code, stderr)
	}
}

// TestDoctorOfAServingSite is on real servers where there are such.
func TestDoctorOfAServingSite(t *testing.T) {
	s := newSite(t)
	ctx := within(t, time.Minute)
	config := s.config(t, "", "")
	scorer := start(t, "serve", "--role", "scorer", "-c", config)
	scorer.ready(ctx)
	s.produce(t, ctx, s.client(t), "orders", []byte(orderJSON("d", 1, 10)))
	s.decisions(t, ctx, 1)
	until(t, ctx, func() bool {
		_, e := doctor(t, ctx, config)
		for _, f := range e.Findings {
			if f.About == "kafka group "+s.topic("group") && strings.Contains(f.Says, "1 member, 0 records behind") {
				e.wants(t, "ok redis prefix "+s.prefix+": this config's feature set alone", "ok clock of producers: no record")
				e.without(t, "error")
				return true
			}
		}
		return false
	})
}
