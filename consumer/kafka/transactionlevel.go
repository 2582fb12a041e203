package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// ErrNoTransactions says that a cluster's brokers are too old for exactly once.
var ErrNoTransactions = errors.New("the brokers are too old for transactions that hold a group's offsets safely: Kafka 2.5 is the first")

// TransactionLevel is how far a cluster's transactions can be trusted.
type TransactionLevel struct {
	Brokers string // their versions, as told by the requests that they know
	Version int16  // transaction.version: 2 and more defend against requests of a transaction that come late (KIP-890)
}

// Full says whether a late request of an old transaction can never become part of a new one.
func (l TransactionLevel) Full() bool { return l.Version >= 2 }

// offsetsFenced is the version of TxnOffsetCommit from which the brokers hold a commit against the member's generation (KIP-447, Kafka 2.5).
const offsetsFenced = 3

// TransactionsOf asks a cluster how far its transactions can be trusted. The error wraps ErrNoTransactions when any of its brokers is too old.
func TransactionsOf(ctx context.Context, c Connection) (TransactionLevel, error) {
	client, err := c.once(10 * time.Second)
	if err != nil {
		return TransactionLevel{}, err
	}
	defer client.Close()
	versions, err := kadm.NewClient(client).ApiVersions(ctx)
	if err != nil {
		return TransactionLevel{}, fmt.Errorf("asking for the brokers' versions: %w", err)
	}
	level := TransactionLevel{Brokers: guess(versions), Version: -1}
	for _, broker := range versions.Sorted() {
		if broker.Err != nil {
			return level, fmt.Errorf("asking broker %d for its versions: %w", broker.NodeID, broker.Err)
		}
		if highest, _ := broker.KeyMaxVersion(kmsg.TxnOffsetCommit.Int16()); highest < offsetsFenced {
			return level, fmt.Errorf("%w, and broker %d is %s", ErrNoTransactions, broker.NodeID, broker.VersionGuess())
		}
		finalized := int16(0)
		for _, feature := range broker.Raw().FinalizedFeatures {
			if feature.Name == "transaction.version" {
				finalized = feature.MaxVersionLevel
			}
		}
		if level.Version < 0 || finalized < level.Version {
			level.Version = finalized
		}
	}
	return level, nil
}
