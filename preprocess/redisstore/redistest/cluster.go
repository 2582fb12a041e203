package redistest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// slots is how many slots a cluster has.
const slots = 16384

// Cluster is three servers that share the slots of a Redis Cluster evenly, without replicas.
type Cluster struct {
	t     testing.TB
	Nodes []*Server
}

// StartCluster runs a cluster, or skips the test when there is no server to run. It is ready when all nodes agree that it is, a little over 2 s later: so
// long a node waits by itself before it serves.
func StartCluster(t testing.TB) *Cluster {
	t.Helper()
	c := &Cluster{t: t}
	var ports []string
	for range 3 {
		// The port of the nodes among themselves would be 10,000 above the other, free or not. A node is not given up while a slow test still runs: the
		// default is 15 s.
		_, port, _ := net.SplitHostPort(FreeAddr(t))
		c.Nodes, ports = append(c.Nodes, Start(t, "--cluster-enabled", "yes", "--cluster-port", port, "--cluster-node-timeout", "60000")), append(ports, port)
	}
	for i, n := range c.Nodes {
		n.Do("cluster", "set-config-epoch", i+1)
		n.Do("cluster", "addslotsrange", i*slots/3, (i+1)*slots/3-1)
	}
	for i, n := range c.Nodes {
		host, port, _ := net.SplitHostPort(n.Addr())
		for _, other := range c.Nodes[:i] { // each itself: the word is passed on about once a second only
			other.Do("cluster", "meet", host, port, ports[i])
		}
	}
	c.AwaitReady()
	return c
}

// AwaitReady waits until all nodes say that all slots are served, as after a restart of one.
func (c *Cluster) AwaitReady() {
	c.t.Helper()
	err := eventually(c.t.Context(), func(ctx context.Context) error {
		for _, n := range c.Nodes {
			info, err := n.admin.ClusterInfo(ctx).Result()
			if err != nil {
				return err
			}
			for _, want := range []string{"cluster_state:ok\r\n", "cluster_slots_ok:16384\r\n", "cluster_known_nodes:3\r\n"} {
				if !strings.Contains(info, want) {
					return fmt.Errorf("no %q in what a node says of it: %s", want, info)
				}
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatalf("the cluster does not come up: %v", err)
	}
}

// Addrs returns where the nodes listen.
func (c *Cluster) Addrs() []string {
	var addrs []string
	for _, n := range c.Nodes {
		addrs = append(addrs, n.Addr())
	}
	return addrs
}

// Slot returns where a key belongs, by the servers' own word.
func (c *Cluster) Slot(key string) int {
	c.t.Helper()
	return int(c.Nodes[0].Do("cluster", "keyslot", key).(int64))
}

// Owner returns the node that holds a slot.
func (c *Cluster) Owner(slot int) *Server {
	c.t.Helper()
	owner, err := c.Nodes[0].owner(c.t.Context(), slot)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.Nodes[slices.IndexFunc(c.Nodes, func(n *Server) bool { return strings.HasSuffix(n.addr, owner) })]
}

// owner returns the address, from its colon on, of the node that holds a slot, as this node sees it.
func (s *Server) owner(ctx context.Context, slot int) (string, error) {
	shards, err := s.admin.ClusterShards(ctx).Result()
	if err != nil {
		return "", err
	}
	for _, shard := range shards {
		for _, r := range shard.Slots {
			if r.Start <= int64(slot) && int64(slot) <= r.End {
				return ":" + strconv.FormatInt(shard.Nodes[0].Port, 10), nil
			}
		}
	}
	return "", fmt.Errorf("nobody holds slot %d", slot)
}

// Move moves a slot and all its keys from the node that holds it to another, as an operator's tool does, and calls between after each step, since what
// clients meet in between is what matters: a slot that is about to move, whose keys are gone one by one, and that has changed hands.
func (c *Cluster) Move(slot int, to *Server, between func(step string)) {
	c.t.Helper()
	from := c.Owner(slot)
	fromID, toID := from.Do("cluster", "myid"), to.Do("cluster", "myid")
	to.Do("cluster", "setslot", slot, "importing", fromID)
	between("importing")
	from.Do("cluster", "setslot", slot, "migrating", toID)
	between("migrating")
	host, port, _ := net.SplitHostPort(to.Addr())
	for {
		keys := from.Do("cluster", "getkeysinslot", slot, 1).([]any)
		if len(keys) == 0 {
			break
		}
		from.Do("migrate", host, port, keys[0], 0, patience.Milliseconds())
		between("a key is gone")
	}
	for _, n := range append([]*Server{to, from}, c.Nodes...) { // in this order nobody is ever told of a slot that nobody holds
		n.Do("cluster", "setslot", slot, "node", toID)
		between("a node knows")
	}
	// Word that was under way meanwhile may have undone it for a moment.
	err := eventually(c.t.Context(), func(ctx context.Context) error {
		for _, n := range c.Nodes {
			owner, err := n.owner(ctx, slot)
			if err != nil {
				return err
			}
			if !strings.HasSuffix(to.addr, owner) {
				return fmt.Errorf("a node takes %s for the owner of a slot that went to %s", owner, to.addr)
			}
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
}
