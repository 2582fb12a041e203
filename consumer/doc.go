// Package consumer is where verdict's parts meet: it takes orders from a Transport and brings each to its one decision.
//
// # The tour
//
// Read from the outside in, verdict is a few packages with one job each:
//
//   - cmd/verdict wires: each subcommand is one file that makes the parts below and runs them.
//   - consumer (here) is the path. Worker.step in worker.go is the whole of it, a line a stage; stages.go has the stages, reply.go and
//     deadletter.go the records that go out. consumer/kafka is the path's end at Kafka, consumer/replay its end at files; consumer/backfill takes it
//     to bring a store to the state that it would have.
//   - schemas says what an order, a label and a decision are, as bytes (Avro, JSON) and as values. schemas/expr are expressions over them (CEL).
//   - preprocess makes feature vectors: a feature set (spec.go) says which, a Store keeps points per entity (memstore, redisstore), and window.go, which
//     is pure, makes numbers of points. No store knows what a window is, so no two can disagree.
//   - scorer makes decisions: a model bundle gives a score, a policy turns it into an action; a routing says which bundle, and which challenge it.
//     scorer/treemodel reads and runs tree models, scorer/remote asks models that are served elsewhere.
//   - sync serves callers that wait: sync/await knows who waits for which order, sync/httpapi speaks HTTP.
//
// preprocess, scorer and sync do not know each other: preprocess and scorer meet in schemas.FeatureVector, and httpapi is given functions. The import graph
// is kept by depguard (.golangci.yml).
//
// # One order, one decision
//
// The path is made of steps that can be done again, in whole or in part, without a trace:
//
//	Poll ─→ decode ─→ learn labels ─→ extract features ─→ decide ─→ keep the first decision ─→ publish ─→ commit
//
// extract adds the order to its entities under its id (an order counts once), and reads windows by event time (so that a second pass sees what the first
// saw). keep asks the Ledger which decision of the order stands; a redelivered order gets its first one back. publish writes records that are equal
// whenever they are written twice. commit comes last. So a crash anywhere repeats work and changes nothing, and Kafka's transactions are not needed.
//
// # What can go wrong
//
// A record has one of three fates. Malformed: it becomes a dead letter, with headers that Kafka Connect's and Spring's tools read, and the partition goes
// on. Outage (store, broker, registry): the step is tried again with back-off until it succeeds; nothing is committed meanwhile. Anything that wraps ErrStop
// ends the worker, and the process, with a message.
//
// # Lanes
//
// Orders of waiting callers come on a topic of their own and are taken by a worker of its own, with its own poll, pipeline and producer: a backlog on the
// other lane costs them processor time at most, never a place in a queue. Both lanes share store and ledger, so an order that comes on both counts once.
package consumer
