package redisstore_test

import (
	"strings"
	"testing"

	"verdict/preprocess"
	"verdict/preprocess/redisstore"
	"verdict/preprocess/redisstore/redistest"
	"verdict/schemas"
)

func TestStoreOnACluster(t *testing.T) {
	c := redistest.StartCluster(t)
	t.Run("keys of an entity share a slot", func(t *testing.T) { shareASlot(t, c) })
}

// shareASlot: so a cluster keeps all that belongs to an entity, or to an order, on one node and in the order of the pipeline.
func shareASlot(t *testing.T, c *redistest.Cluster) {
	t.Helper()
	client := dial(t, clusterConfig(c))
	long := strings.Repeat("k", 511)
	for i, prefix := range []string{"", "app{1}:", "{}", "}:", "a{"} {
		for j, entity := range []string{"customer:1", "", "}", "}x", "{", "{}", "a}b{c", "%", "%7D", "\xff\x00", "\r\n", long + "}", "}" + long} {
			s := redisstore.New(client, redisstore.Config{Prefix: prefix, Timeout: patient})
			v := visit(100*i+j, 1)
			v.Labelled = []string{entity}
			v.Asks = []preprocess.Ask{points(entity, "x", 1), points(entity, "}y", 1), points(entity, "", 1)}
			if _, err := s.Exchange(t.Context(), []preprocess.Visit{v}); err != nil {
				t.Fatal(err)
			}
			if err := s.Learn(t.Context(), []schemas.Label{label(100*i+j, 1, true)}); err != nil {
				t.Fatal(err)
			}
			// Once more under a feature set that asks for the labels of a further entity: what is kept of that belongs to the order.
			v.Labelled = append(v.Labelled, "another")
			if _, err := s.Exchange(t.Context(), []preprocess.Visit{v}); err != nil {
				t.Fatal(err)
			}
			names := keysOf(t, client, "")
			slots := make(map[string]map[int]bool)
			for _, name := range names {
				whose := "the entity"
				if strings.HasSuffix(name, "{"+string(v.ID)+"}") {
					whose = "the order"
				} else if strings.Contains(name, "{another}") {
					whose = "the other entity"
				}
				if slots[whose] == nil {
					slots[whose] = make(map[int]bool)
				}
				slots[whose][c.Slot(name)] = true
			}
			if len(names) != 8 || len(slots["the entity"]) != 1 || len(slots["the order"]) != 1 {
				t.Errorf("under prefix %q the entity %q has its keys %q in slots %v", prefix, entity, names, slots)
			}
			for _, n := range c.Nodes {
				n.Do("flushall")
			}
		}
	}
}
