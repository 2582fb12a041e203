package backtest

import (
	"time"

	"verdict/schemas"
)

// FormatVersion is the version of report.json. Fields are added without a new one; one that means something else gets a new one.
const FormatVersion = 1

// Report is report.json: its fields in this order. Figures that need labels are over the orders that count (Period.Counted); missing ones are null. Shares,
// precisions and recalls are between 0 and 1, amounts in the orders' own unit, days and weeks are of UTC. It is a value: nothing in it changes after Report.
type Report struct {
	Format      int          `json:"format"`
	Provenance  Provenance   `json:"provenance"`
	Headline    Headline     `json:"headline"`
	Period      Period       `json:"period"`
	Method      Method       `json:"method"`
	Candidates  []Figures    `json:"candidates"`  // in the order of Config.Candidates: the first is the main one
	Live        *Figures     `json:"live"`        // what was decided live, measured as a candidate; null without live decisions
	Comparisons []Comparison `json:"comparisons"` // from live to each candidate, then from each candidate to those before it
	Segments    []Segment    `json:"segments"`    // in the order of Config.Segments
	Drift       Drift        `json:"drift"`
}

// Provenance says what was replayed. The Collector leaves it empty: who made the replay fills it in.
type Provenance struct {
	Program  string          `json:"program"` // name and version of what made the report
	Orders   []string        `json:"orders"`  // the sources, without credentials
	Labels   []string        `json:"labels"`
	Live     []string        `json:"live"`
	Features schemas.Version `json:"features"`
	Digest   string          `json:"digest"`           // over all decisions
	Require  string          `json:"require"`          // the gate that the replay was given, "" for none
	Met      bool            `json:"met"`              // with Require: it is met
	Partial  bool            `json:"partial"`          // the replay was ended before its history was
	Through  time.Time       `json:"through,omitzero"` // with Partial: event time up to which it came
}

// Headline are the main candidate's figures, under the names that a Gate takes without a path.
type Headline struct {
	Candidate             string `json:"candidate"`
	Orders                int    `json:"orders"` // that count
	Frauds                int    `json:"frauds"`
	BaseRate              Number `json:"base_rate"` // frauds ÷ orders
	AUC                   Number `json:"auc"`
	AveragePrecision      Number `json:"average_precision"`
	PrecisionAt100        Number `json:"precision_at_100"` // null unless 100 is one of TopK
	CardPrecisionAt100    Number `json:"card_precision_at_100"`
	PrecisionAtBudget     Number `json:"precision_at_budget"`
	RecallAtBudget        Number `json:"recall_at_budget"`
	FraudAmountCaught     Number `json:"fraud_amount_caught"`      // of what was reviewed or rejected
	FraudAmountCaughtPart Number `json:"fraud_amount_caught_part"` // ÷ the amount of all frauds
	HonestAmountBlocked   Number `json:"honest_amount_blocked"`    // of what was rejected
	Cost                  Number `json:"cost"`                     // see Figures
	ExpectedCost          Number `json:"expected_cost"`
	Brier                 Number `json:"brier"`
	ECE                   Number `json:"ece"`
	Flips                 Number `json:"flips"`      // share of orders with another action than live, or else than the second candidate
	FlipCount             int    `json:"flip_count"` // how many
	FlipWorth             Number `json:"flip_worth"` // see Comparison
	AUCGain               Number `json:"auc_gain"`   // more than live, or else than the second candidate
	AveragePrecisionGain  Number `json:"average_precision_gain"`
	PSIMax                Number `json:"psi_max"`       // largest of a feature or the main candidate's score, in a week of 1,000 orders or more
	PSIMaxOf              string `json:"psi_max_of"`    // which that is
	ScorePSIMax           Number `json:"score_psi_max"` // largest of the main candidate's score alone
	MissingMax            Number `json:"missing_max"`   // largest share of missing values of a feature, in such a week
}

// Period says which orders there were and which of them count.
type Period struct {
	First         time.Time `json:"first"` // event time, of all orders since Config.Since
	Last          time.Time `json:"last"`
	Known         time.Time `json:"known"`       // the end of what is known; see Config.Until
	MatureDays    Number    `json:"mature_days"` // Config.Mature
	Orders        int       `json:"orders"`      // all since Config.Since
	Immature      int       `json:"immature"`    // too young to count
	ImmaturePart  Number    `json:"immature_part"`
	KnownCustomer int       `json:"known_customer"` // not counted for Config.Known
	Counted       int       `json:"counted"`
	Frauds        int       `json:"frauds"` // of those that count, as BaseRate, Labelled, Customers, Amount and FraudAmount
	BaseRate      Number    `json:"base_rate"`
	Labelled      int       `json:"labelled"`
	LabelledPart  Number    `json:"labelled_part"` // how many of those that count have a label; the others count as honest
	Customers     int       `json:"customers"`     // distinct; 0 when rows have none
	Days          int       `json:"days"`          // with orders that count
	Amount        Number    `json:"amount"`
	FraudAmount   Number    `json:"fraud_amount"`
}

// Method says how figures were had.
type Method struct {
	TopK          []int  `json:"top_k"`
	Budget        int    `json:"budget"`
	Bootstrap     int    `json:"bootstrap"` // replicates; 0: no intervals
	Seed          uint64 `json:"seed"`
	Cluster       string `json:"cluster"`  // what is drawn: the name of the customer's entity or field, or "order"
	Coverage      Number `json:"coverage"` // of intervals, 0.95: percentiles 2.5 and 97.5 of the replicates
	Amount        string `json:"amount"`   // the amount's field
	Customer      string `json:"customer"` // what tells customers apart
	KnownCustomer bool   `json:"known_customers_left_out"`
}

// Interval is a percentile interval of the bootstrap; null without one.
type Interval struct {
	Low  Number `json:"low"`
	High Number `json:"high"`
}

// Figures are all that is said of one candidate, or of what was decided live.
type Figures struct {
	Name      string          `json:"name"`
	Model     schemas.Version `json:"model"`
	Features  schemas.Version `json:"features"`
	Policy    schemas.Version `json:"policy"`
	Review    *float64        `json:"review_threshold"`
	Reject    *float64        `json:"reject_threshold"`
	Orders    int             `json:"orders"`   // that count and have a score
	Unscored  int             `json:"unscored"` // that count and have none: they are in Actions and in no figure of scores
	Frauds    int             `json:"frauds"`   // among Orders
	FraudPart Number          `json:"base_rate"`

	AUC              Number    `json:"auc"`
	AUCInterval      *Interval `json:"auc_interval"`
	AveragePrecision Number    `json:"average_precision"`
	APInterval       *Interval `json:"average_precision_interval"`
	ROC              []Point   `json:"roc"`      // X false positive rate, Y true positive rate; at most 400 points
	PR               []Point   `json:"pr"`       // X recall, Y precision
	ROCBand          []Band    `json:"roc_band"` // at most 60 places of the curve; empty where there are no intervals
	PRBand           []Band    `json:"pr_band"`

	AtK    []AtK    `json:"at_k"` // one for each of TopK
	Budget AtBudget `json:"at_budget"`
	Days   []Day    `json:"days"`

	Brier       Number `json:"brier"` // missing, as are ECE and bins, where scores are not between 0 and 1
	ECE         Number `json:"ece"`
	ECEQuantile Number `json:"ece_quantile"`
	Calibration []Bin  `json:"calibration"`          // 10 bins of equal width
	Quantiles   []Bin  `json:"calibration_quantile"` // 10 bins of equally many orders

	Thresholds []Threshold `json:"thresholds"` // falling; at most 400
	Actions    []ByAction  `json:"actions"`    // approve, review, reject, and none where there is one
	Caught     Number      `json:"fraud_amount_caught"`
	CaughtPart Number      `json:"fraud_amount_caught_part"`
	Blocked    Number      `json:"honest_amount_blocked"`

	Cost         Number `json:"cost"`          // what the actions cost, by the policy's costs and the labels; missing without costs
	ExpectedCost Number `json:"expected_cost"` // what the policy expected, of the same orders
	CostOrders   int    `json:"cost_orders"`   // how many orders have costs

	Scores     []ScoreBin   `json:"scores"`
	Importance []Importance `json:"importance"` // falling; empty when no contributions were given
	Explained  int          `json:"explained"`  // orders that Importance is of
}

// Point is a point of a curve, with the score at or above which it is; the first or last of a curve may have none.
type Point struct {
	X     Number `json:"x"`
	Y     Number `json:"y"`
	Score Number `json:"score"`
}

// Band is the interval of a curve's Y at one X. It holds for that place, not for all places at once.
type Band struct {
	X    Number `json:"x"`
	Low  Number `json:"low"`
	High Number `json:"high"`
}

// AtK is the mean over days of the precision among the k highest scores of a day. Days with fewer orders divide by k all the same.
type AtK struct {
	K            int       `json:"k"`
	Precision    Number    `json:"precision"` // among orders
	Interval     *Interval `json:"precision_interval"`
	Card         Number    `json:"card_precision"` // among customers, those found on earlier days left out; missing when rows have no customers
	CardInterval *Interval `json:"card_precision_interval"`
	Perfect      Number    `json:"card_precision_perfect"` // what a perfect score would reach
}

// AtBudget is what is found when the Reviews highest scores of each day are looked at.
type AtBudget struct {
	Reviews           int       `json:"reviews_a_day"`
	Reviewed          int       `json:"reviewed"`
	Found             int       `json:"found"`
	Precision         Number    `json:"precision"` // Found ÷ Reviewed
	PrecisionInterval *Interval `json:"precision_interval"`
	Recall            Number    `json:"recall"` // Found ÷ all frauds
	RecallInterval    *Interval `json:"recall_interval"`
	Amount            Number    `json:"fraud_amount"`
	AmountPart        Number    `json:"fraud_amount_part"` // ÷ the amount of all frauds
}

// Day is one day's part of the figures by day. Precision and Card are for each of TopK.
type Day struct {
	Day       string   `json:"day"` // 2018-08-08
	Orders    int      `json:"orders"`
	Frauds    int      `json:"frauds"`
	Cards     int      `json:"fraud_customers"` // customers with a fraud, those found on earlier days (of the first of TopK) left out
	Precision []Number `json:"precision"`
	Card      []Number `json:"card_precision"`
	Reviewed  int      `json:"reviewed"` // at the budget
	Found     int      `json:"found"`
}

// Bin is a bin of scores: From < score ≤ To, the first one its lower end too. Empty ones are left out.
type Bin struct {
	From  Number `json:"from"`
	To    Number `json:"to"`
	N     int    `json:"orders"`
	Score Number `json:"score"` // mean
	Fraud Number `json:"fraud"` // share
}

// Threshold is what lies at or above a score.
type Threshold struct {
	Score        Number `json:"score"`
	Orders       int    `json:"orders"`
	Frauds       int    `json:"frauds"`
	FraudAmount  Number `json:"fraud_amount"`  // caught
	HonestAmount Number `json:"honest_amount"` // blocked
}

// ByAction is what got one action.
type ByAction struct {
	Action       string `json:"action"`
	Orders       int    `json:"orders"`
	Frauds       int    `json:"frauds"`
	FraudAmount  Number `json:"fraud_amount"`
	HonestAmount Number `json:"honest_amount"`
}

// ScoreBin counts scores: From ≤ score < To, the last one its upper end too. All orders with a score are in it, also those that do not count.
type ScoreBin struct {
	From    Number `json:"from"`
	To      Number `json:"to"`
	Honest  int    `json:"honest"`
	Fraud   int    `json:"fraud"`
	Unknown int    `json:"uncounted"` // do not count for want of age, or because their customer was known
}

// Importance is how much a feature moves scores.
type Importance struct {
	Feature string `json:"feature"`
	Mean    Number `json:"mean_abs_contribution"` // to the raw score
	Part    Number `json:"part"`                  // ÷ the sum over features
}

// Comparison holds To against From: what would have been decided otherwise. Flips are over all orders decided by both, counted or not.
type Comparison struct {
	From      string    `json:"from"` // "live" or a candidate's name
	To        string    `json:"to"`
	Compared  int       `json:"compared"`
	Flips     int       `json:"flips"`
	FlipsPart Number    `json:"flips_part"`
	Matrix    []Flip    `json:"matrix"` // every pair of actions that occurs, equal ones too
	Amount    Number    `json:"flips_amount"`
	Worth     Number    `json:"worth"`         // NewlyCaught − NewlyMissed − NewlyBlocked + NewlyPassed
	Caught    Money     `json:"newly_caught"`  // frauds that From approved and To stops
	Missed    Money     `json:"newly_missed"`  // frauds that From stops and To approves
	Blocked   Money     `json:"newly_blocked"` // honest orders that To rejects and From does not
	Passed    Money     `json:"newly_passed"`  // honest orders that From rejects and To does not
	ByAmount  []Example `json:"examples_by_amount"`
	ByScore   []Example `json:"examples_by_score_change"`

	// Gains are To less From, over the orders that count and have both scores, with intervals of the same replicates of both.
	Orders int       `json:"orders"`
	AUC    Gain      `json:"auc"`
	AP     Gain      `json:"average_precision"`
	AtK    []GainAtK `json:"at_k"`
	Recall Gain      `json:"recall_at_budget"`

	// Of all orders that are compared and have both scores, whether they count or not.
	Correlation   Number `json:"score_correlation"` // Pearson's
	MeanChange    Number `json:"score_mean_change"`
	MeanAbsChange Number `json:"score_mean_abs_change"`
}

// Flip is how many orders got one action of From and one of To.
type Flip struct {
	From        string `json:"from"`
	To          string `json:"to"`
	Orders      int    `json:"orders"`
	Amount      Number `json:"amount"`
	Frauds      int    `json:"frauds"` // of those that count
	FraudAmount Number `json:"fraud_amount"`
}

// Money is a number of orders and what they are worth.
type Money struct {
	Orders int    `json:"orders"`
	Amount Number `json:"amount"`
}

// Gain is a difference with its interval.
type Gain struct {
	From     Number    `json:"from"`
	To       Number    `json:"to"`
	Gain     Number    `json:"gain"`
	Interval *Interval `json:"interval"` // of Gain
}

// GainAtK is the gain of precision at k.
type GainAtK struct {
	K         int  `json:"k"`
	Precision Gain `json:"precision"`
	Card      Gain `json:"card_precision"`
}

// Example is an order that got another action.
type Example struct {
	ID          string    `json:"order_id"`
	At          time.Time `json:"occurred_at"`
	Amount      Number    `json:"amount"`
	Label       string    `json:"label"` // fraud, honest, none
	From        string    `json:"from"`
	To          string    `json:"to"`
	FromScore   Number    `json:"from_score"`
	ToScore     Number    `json:"to_score"`
	FromReasons []Reason  `json:"from_reasons"`
	ToReasons   []Reason  `json:"to_reasons"`
}

// Reason is one feature's part in a score.
type Reason struct {
	Feature      string `json:"feature"`
	Value        Number `json:"value"`
	Contribution Number `json:"contribution"`
}

// Segment is all broken down by the values of one field.
type Segment struct {
	Field  string         `json:"field"`
	Values []SegmentValue `json:"values"` // at most 20, those with most orders first, then what is left together
}

// SegmentValue are the orders with one value of a field.
type SegmentValue struct {
	Value       string           `json:"value"`  // "": the orders without one
	Rest        bool             `json:"rest"`   // all values that are not told one by one
	Orders      int              `json:"orders"` // that count
	Frauds      int              `json:"frauds"`
	BaseRate    Number           `json:"base_rate"`
	Amount      Number           `json:"amount"`
	FraudAmount Number           `json:"fraud_amount"`
	Candidates  []SegmentFigures `json:"candidates"` // in the order of Config.Candidates
	Live        *SegmentFigures  `json:"live"`
	Flips       []SegmentFlips   `json:"flips"` // in the order of Report.Comparisons
}

// SegmentFigures are one candidate's in a segment.
type SegmentFigures struct {
	Orders           int         `json:"orders"` // with a score
	AUC              Number      `json:"auc"`
	AveragePrecision Number      `json:"average_precision"`
	Brier            Number      `json:"brier"`
	Reviewed         int         `json:"reviewed"` // of all orders' budget, not of one of its own
	Found            int         `json:"found"`    // frauds among them
	Precision        Number      `json:"precision_at_budget"`
	Recall           Number      `json:"recall_at_budget"`
	Actions          []ByAction  `json:"actions"`
	Caught           Number      `json:"fraud_amount_caught"`
	CaughtPart       Number      `json:"fraud_amount_caught_part"`
	Blocked          Number      `json:"honest_amount_blocked"`
	Thresholds       []Threshold `json:"thresholds"` // falling; at most 50
}

// SegmentFlips are one comparison's in a segment.
type SegmentFlips struct {
	Compared int    `json:"compared"`
	Flips    int    `json:"flips"`
	Part     Number `json:"flips_part"`
}

// Drift is how features and scores moved from week to week: the population stability index against the base week, over bins of which each holds about a
// tenth of the base week's values, missing values being a bin of their own.
type Drift struct {
	Base     int            `json:"base"`     // index of the base week in Weeks; -1 when there is none
	Weeks    []Week         `json:"weeks"`    // with orders
	Features []FeatureDrift `json:"features"` // in the vector's order
	Scores   []FeatureDrift `json:"scores"`   // one for each candidate
}

// Week is seven days from a day on.
type Week struct {
	Start  string `json:"start"` // 2018-08-08
	Orders int    `json:"orders"`
	Small  bool   `json:"small"` // below 1,000 orders, where an index is mostly noise: not in psi_max
}

// FeatureDrift are a feature's or a score's figures, one for each of Weeks.
type FeatureDrift struct {
	Name    string   `json:"name"`
	PSI     []Number `json:"psi"`
	Missing []Number `json:"missing"` // share
	Max     Number   `json:"psi_max"` // over weeks that are not Small
}
