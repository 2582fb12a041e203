package backtest

// tally counts orders by action and label.
type tally struct {
	orders, frauds            [actions]int
	fraudAmount, honestAmount [actions]float64
}

func (t *tally) add(action Action, fraud bool, amount float64) {
	t.orders[action]++
	if amount != amount {
		amount = 0
	}
	if fraud {
		t.frauds[action]++
		t.fraudAmount[action] += amount
	} else {
		t.honestAmount[action] += amount
	}
}

// decided says whether any order has an action.
func (t *tally) decided() bool { return t.orders[Approve]+t.orders[Review]+t.orders[Reject] > 0 }

// told returns the tally by action; NoAction only where there is one, and nothing when there is no other.
func (t *tally) told(money bool) []ByAction {
	all := make([]ByAction, 0, actions)
	if !t.decided() {
		return all
	}
	for _, a := range []Action{Approve, Review, Reject, NoAction} {
		if a == NoAction && t.orders[a] == 0 {
			continue
		}
		all = append(all, ByAction{
			Action: a.String(), Orders: t.orders[a], Frauds: t.frauds[a], FraudAmount: known(t.fraudAmount[a], money), HonestAmount: known(t.honestAmount[a], money),
		})
	}
	return all
}

// caught returns the amount of frauds that were reviewed or rejected, and that over the amount of all frauds; missing without actions or amounts.
func (t *tally) caught(money bool) (amount, part Number) {
	if !money || !t.decided() {
		return missing(), missing()
	}
	stopped := t.fraudAmount[Review] + t.fraudAmount[Reject]
	return Number(stopped), ratio(stopped, stopped+t.fraudAmount[Approve]+t.fraudAmount[NoAction])
}

// blocked returns the amount of honest orders that were rejected; missing without actions or amounts.
func (t *tally) blocked(money bool) Number {
	return known(t.honestAmount[Reject], money && t.decided())
}

// known returns x, missing when it is not known.
func known(x float64, is bool) Number {
	if !is {
		return missing()
	}
	return Number(x)
}
