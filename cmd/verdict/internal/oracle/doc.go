// Package oracle says whether a run kept verdict's promises, from what a stranger can see of it: what was written to the topics of orders, what came out on
// those of decisions and dead letters, a second computation of the same decisions, and digests of the state. It does no I/O and reads no clock: who runs
// the campaign reads, also while faults run, and feeds what it reads.
//
//	o := oracle.New(oracle.Config{})
//	o.Input(oracle.Input{…})       // each record of the input log; what was aborted is none
//	o.Decision(oracle.Output{…})   // each record of the topic of decisions, as a read_committed reader has it while the faults run
//	o.DeadLetter(oracle.Output{…}) // each record of the topic of dead letters
//	o.Told(id, body)               // what a caller of the JSON API had with a 200; optional
//	o.Fault(began, ended)          // each fault; optional
//	o.Recomputed(record)           // each decision of a replay of the same log; optional
//	o.State(name, live, want)      // digests of the state, and what they must be; optional
//	report := o.Report()
//	fmt.Println(report)            // orders=100000 lost=0 dup=0 drift=0 stuck_max=0.8s recover_p99=3.1s
//	if !report.Green() { for _, f := range report.Offenders { … } }
//
// All may be fed in any order and by several goroutines. Outputs are those of one topic of decisions and one of dead letters; a record that is read twice (a
// reader that began anew) counts once, by where it lies. Offenders are named by where they lie, never by id.
//
// # What is counted
//
// Each input has a place, topic/partition/offset, and each output says which place it is of (the header verdict.source).
//
//   - lost: inputs with neither a decision nor a dead letter.
//   - dup: effects too many. A place with two different records, or a decision and a dead letter; an order id with two different decisions. A byte-equal copy
//     that was written again is counted apart, as again=, unless Config.ExactlyOnce says that there must be none: then it is a dup.
//   - drift: cells (a feature of an order, or its score or action) where live and recomputed differ in a bit, or one of the two lacks it. Cells of decisions
//     that say what they lacked (degraded) are counted apart, as flagged=; so are those of inputs that were marked Late, as late=.
//   - stuck_max: the longest time that a partition had inputs and nothing of it was decided.
//   - recover_p99: over all faults, from a fault's end to when each partition that had work by then, or got some, has its next first decision; the slowest of them.
//
// Counted apart, each only told when there is some, and each red as well:
//
//   - ghost: outputs of a place where no input lies, or of another order than lies there.
//   - fate: inputs that had to become a dead letter and were decided, or the other way round.
//   - order: outputs of a key that came before one of an earlier input of that key and partition.
//   - untrue: callers who were told another decision than the one on the topic.
//   - state: digests that differ.
package oracle
