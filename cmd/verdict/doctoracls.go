package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// doctorRoles are whose rights are told.
func doctorRoles() []string { return []string{"scorer", "api", "tools"} }

// right is what a role may do with a topic, a group or a transactional id.
type right struct {
	kind       string // topic, group, transactional-id
	names      []string
	operations []string
}

// rights returns what a role needs. Tools are replay, rebuild, backfill, dlq and doctor.
func (d *doctor) rights(role string) []right {
	k := &d.cfg.Kafka
	t := &k.Topics
	orders, groups := []string{t.Orders, t.Sync, t.Labels}, []string{k.Group, k.Group + ".sync"}
	replies := append([]string{t.Replies}, k.ReplyTopics...)
	var all []right
	switch role {
	case "scorer":
		all = []right{
			{"topic", append(slices.Clone(orders), t.Decisions), []string{"Read", "Describe"}}, // decisions, to bring back what the store lost
			{"topic", append([]string{t.Decisions, t.DeadLetters}, replies...), []string{"Write", "Describe"}},
			{"group", groups, []string{"Read", "Describe"}},
		}
		if d.cfg.Delivery == deliverExactlyOnce {
			all = append(all, right{"transactional-id", []string{cmp.Or(k.TransactionalID, k.Group) + "."}, []string{"Write", "Describe"}})
		}
	case "api":
		all = []right{
			{"topic", []string{t.Sync, t.Labels}, []string{"Write", "Describe"}},
			{"topic", []string{t.Replies}, []string{"Read", "Describe"}},
		}
	default:
		return []right{
			{"topic", append(slices.Clone(orders), t.Decisions, t.DeadLetters, t.ResolvedOr()), []string{"Read", "Describe", "DescribeConfigs"}},
			{"topic", []string{t.Orders, t.Labels, t.ResolvedOr()}, []string{"Write"}}, // verdict dlq
			{"topic", []string{t.ResolvedOr()}, []string{"Create"}},
			{"topic", replies, []string{"Describe", "DescribeConfigs"}},
			{"group", groups, []string{"Describe"}},
		}
	}
	if k.CreateTopics {
		all = append(all, right{"topic", append(slices.Clone(orders), t.Decisions, t.DeadLetters, t.Replies), []string{"Create", "Describe"}})
	}
	return all
}

// acls returns the commands that give each role its rights, ready to paste.
func (d *doctor) acls() map[string][]string {
	out := make(map[string][]string)
	for _, role := range doctorRoles() {
		for _, r := range d.rights(role) {
			out[role] = append(out[role], d.acl(role, r))
		}
	}
	return out
}

func (d *doctor) acl(role string, r right) string {
	principal := d.principal
	if principal == "" {
		principal = "User:verdict-" + role
	}
	var b strings.Builder
	fmt.Fprintf(&b, "kafka-acls.sh --bootstrap-server %s --add --allow-principal %s", strings.Join(d.cfg.Kafka.BootstrapServers, ","), quoted(principal))
	for _, op := range r.operations {
		fmt.Fprintf(&b, " --operation %s", op)
	}
	if r.kind == "transactional-id" { // each process and lane has its own, and all begin alike
		b.WriteString(" --resource-pattern-type prefixed")
	}
	for _, name := range r.names {
		fmt.Fprintf(&b, " --%s %s", r.kind, quoted(name))
	}
	return b.String()
}

// quoted writes a word for a shell.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("._-:=,/@", r)
	}
	if strings.TrimLeftFunc(word, plain) == "" {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// lacking says which of the topics' rights a role has not, with the commands that give them: allowed is what the brokers say that this client may do.
func (d *doctor) lacking(role string, allowed map[string][]string) (lacks, commands []string) {
	for _, r := range d.rights(role) {
		less := right{kind: r.kind}
		for _, name := range r.names {
			may := allowed[name]
			if r.kind != "topic" || may == nil {
				continue
			}
			for _, op := range r.operations {
				if op == "Create" || slices.ContainsFunc(may, func(m string) bool { return sameOperation(m, op) }) { // a topic that is there needs not be made
					continue
				}
				lacks = append(lacks, op+" "+name)
				if !slices.Contains(less.names, name) {
					less.names = append(less.names, name)
				}
				if !slices.Contains(less.operations, op) {
					less.operations = append(less.operations, op)
				}
			}
		}
		if len(less.names) > 0 {
			commands = append(commands, d.acl(role, less))
		}
	}
	return lacks, commands
}

// sameOperation compares DESCRIBE_CONFIGS, as brokers say it, with DescribeConfigs.
func sameOperation(broker, tool string) bool {
	return strings.EqualFold(strings.ReplaceAll(broker, "_", ""), tool)
}
