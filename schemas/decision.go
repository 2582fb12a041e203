package schemas

import "time"

// Action is what a policy makes of a score.
type Action string

// The actions, from mild to severe.
const (
	Approve Action = "approve"
	Review  Action = "review"
	Reject  Action = "reject"
)

// Decision is the answer for one order. Its public JSON is what the API returns; the record on the decisions topic adds Inputs and Source.
type Decision struct {
	OrderID     OrderID
	Action      Action  // "" when there is no policy: null in JSON
	Score       float64 // NaN when no model could be asked: null in JSON, never 0
	OccurredAt  time.Time
	DecidedAt   time.Time
	Model       Version
	Features    Version
	Policy      PolicyVersion
	Reasons     []Reason
	Degraded    []string // what could not be had: "features", "features_stale", "model", "cost", "policy", "routing"; empty is a whole decision
	Challengers []Challenger

	Inputs  FeatureVector // on the topic only
	Source  Source        // on the topic only: where the order lay
	Content uint64        // digest of the order's bytes as decided (see Digest): tells a repeat from another order under the same id; on the topic only
}

// PolicyVersion names the policy and, when a rule and not a threshold decided, that rule.
type PolicyVersion struct {
	Version
	Rule string // "" (null in JSON) when a threshold decided
}

// Reason is one feature's part in a score.
type Reason struct {
	Feature      string
	Value        float64 // NaN is missing
	Contribution float64 // to the raw score (log-odds for a classifier)
}

// Challenger is the score of a model that was asked beside the champion and decided nothing.
type Challenger struct {
	Name, Version string
	Score         float64
	Action        Action // what the policy would have made of that score, for who compares; on no record
}

// Source is where a record lay in Kafka, or in a file (Topic its base name, Partition 0, Offset its line counted from 0).
type Source struct {
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// Label says what became known of an order.
type Label struct {
	ID      OrderID
	Fraud   bool
	KnownAt time.Time // UTC, whole microseconds
}
