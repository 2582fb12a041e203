package redisstore

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Server is what a Redis server says of itself. What it does not say is the zero value.
type Server struct {
	Address       string
	RunID         string // of this start of it
	Name, Version string // redis or valkey; the release of Redis that it is like
	Role          string // master, slave
	Loading       bool   // it reads its files, and answers nothing else
	Policy        string // maxmemory-policy
	MaxMemory     int64  // bytes; 0 is no limit
	UsedMemory    int64
	AppendOnly    bool
	Snapshots     string // when it writes one, as CONFIG GET save says: "" is never, or not told
	Evicted       int64  // keys that it dropped for room, since it started
	Uptime        time.Duration
	Cluster       string // cluster_state, where it is of a cluster
	Ping          time.Duration
	Ahead         time.Duration // of its clock before ours, give or take half a Ping
}

// Inspect asks the server, or each of a cluster's that holds keys, and changes nothing. Clocks are measured against now. An error is that one does not answer;
// those before it are returned.
func Inspect(ctx context.Context, client redis.UniversalClient, now func() time.Time) ([]Server, error) {
	nodes, err := nodesOf(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("finding the servers of the cluster: %w", err)
	}
	servers := make([]Server, 0, len(nodes))
	for _, node := range nodes {
		s, err := inspect(ctx, node, now)
		if err != nil {
			return servers, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}

func inspect(ctx context.Context, node redis.UniversalClient, now func() time.Time) (s Server, err error) {
	if one, ok := node.(*redis.Client); ok {
		s.Address = one.Options().Addr
	}
	if err := s.time(ctx, node, now); err != nil {
		return s, err
	}
	text, err := node.Info(ctx).Result()
	if err != nil {
		return s, fmt.Errorf("asking %s what it is: %w", s.Address, err)
	}
	s.read(text)
	if strings.HasPrefix(text, "redis_mode:cluster") || strings.Contains(text, "\nredis_mode:cluster") {
		s.Cluster = clusterState(ctx, node)
	}
	// CONFIG is forbidden on some services: then it is not known.
	if save, err := node.ConfigGet(ctx, "save").Result(); err == nil {
		s.Snapshots = save["save"]
	}
	return s, nil
}

// time measures the way there and back, and how the clocks differ: of three questions by the quickest, whose answer was on its way the shortest.
func (s *Server) time(ctx context.Context, node redis.UniversalClient, now func() time.Time) error {
	if err := node.Ping(ctx).Err(); err != nil { // makes the connection
		return fmt.Errorf("asking %s whether it is there: %w", s.Address, err)
	}
	for i := range 3 {
		sent := now()
		told, err := node.Time(ctx).Result()
		took := now().Sub(sent)
		if err != nil {
			return fmt.Errorf("asking %s for its time: %w", s.Address, err)
		}
		if i == 0 || took < s.Ping {
			s.Ping, s.Ahead = took, told.Sub(sent.Add(took/2))
		}
	}
	return nil
}

// read takes what is of use out of INFO.
func (s *Server) read(info string) {
	lines := make(map[string]string)
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			lines[name] = value
		}
	}
	number := func(name string) int64 {
		n, _ := strconv.ParseInt(lines[name], 10, 64) // not told: zero
		return n
	}
	s.Name, s.Version, s.Role, s.Policy, s.RunID = lines["server_name"], lines["redis_version"], lines["role"], lines["maxmemory_policy"], lines["run_id"]
	if s.Name == "" {
		s.Name = "redis"
	}
	s.MaxMemory, s.UsedMemory, s.Evicted = number("maxmemory"), number("used_memory"), number("evicted_keys")
	s.Loading, s.AppendOnly = number("loading") == 1, number("aof_enabled") == 1
	s.Uptime = time.Duration(number("uptime_in_seconds")) * time.Second
}

// clusterState is what a cluster's server thinks of the cluster.
func clusterState(ctx context.Context, node redis.UniversalClient) string {
	text, err := node.ClusterInfo(ctx).Result()
	if err != nil {
		return "unknown"
	}
	_, rest, _ := strings.Cut(text, "cluster_state:")
	state, _, _ := strings.Cut(rest, "\r\n")
	return strings.TrimSpace(state)
}
