package backtest

// found is what lies among the highest entries of a day, by weight.
type found struct{ taken, frauds int }

// top goes down a day's list until k entries are taken. Left is what is left of each cluster's weight; nil: each weighs 1. With removed, frauds that are found
// are taken out of it.
func (d *dayList) top(k int, left []uint8, removed bool) found {
	var f found
	for _, entry := range d.entries {
		w := 1
		if left != nil {
			w = int(left[entry>>1])
		}
		w = min(w, k-f.taken)
		if w == 0 {
			continue
		}
		f.taken += w
		if entry&1 == 1 {
			f.frauds += w
			if removed {
				left[entry>>1] -= uint8(w)
			}
		}
		if f.taken == k {
			break
		}
	}
	return f
}

// precisions returns the precision among the k highest orders of each day: frauds ÷ k, also where a day has fewer orders (Fraud Detection Handbook, chapter
// 4, precision_top_k_day).
func (s *sample) precisions(k int, weights []uint8) []float64 {
	all := make([]float64, len(s.days))
	for i := range s.days {
		all[i] = float64(s.days[i].top(k, weights, false).frauds) / float64(k)
	}
	return all
}

// cardPrecisions returns the precision among the k highest customers of each day. A customer has the highest score of his day's orders, and is a fraud if
// one of them is; a fraud among the k is found, and none of his orders is looked at on later days. So it is in the Fraud Detection Handbook, chapter 4
// (card_precision_top_k). Of a customer who weighs more than 1, as in a bootstrap sample, each copy is a customer. Left is weights to work in, spoilt
// afterwards. Nil without customers.
func (s *sample) cardPrecisions(k int, left []uint8) []float64 {
	if s.cards == nil {
		return nil
	}
	all := make([]float64, len(s.cards))
	for i := range s.cards {
		all[i] = float64(s.cards[i].top(k, left, true).frauds) / float64(k)
	}
	return all
}

// perfect returns what cardPrecisions would be for a score that ranks frauds first: what can be reached at all.
func (s *sample) perfect(k, clusters int) []float64 {
	if s.cards == nil {
		return nil
	}
	all, gone := make([]float64, len(s.cards)), make([]bool, clusters)
	for i := range s.cards {
		n := 0
		for _, entry := range s.cards[i].entries {
			if entry&1 == 1 && !gone[entry>>1] && n < k {
				gone[entry>>1] = true
				n++
			}
		}
		all[i] = float64(n) / float64(k)
	}
	return all
}

// fraudCards returns how many customers with a fraud each day has, those that are found on earlier days among the k highest left out.
func (s *sample) fraudCards(k, clusters int) []int {
	all := make([]int, len(s.cards))
	left := ones(clusters)
	for i := range s.cards {
		for _, entry := range s.cards[i].entries {
			if entry&1 == 1 && left[entry>>1] > 0 {
				all[i]++
			}
		}
		s.cards[i].top(k, left, true)
	}
	return all
}

func ones(n int) []uint8 {
	all := make([]uint8, n)
	for i := range all {
		all[i] = 1
	}
	return all
}

// budget returns how many orders are looked at, and how many frauds are among them, when each day's k highest are.
func (s *sample) budget(k int, weights []uint8) found {
	var all found
	for i := range s.days {
		f := s.days[i].top(k, weights, false)
		all.taken, all.frauds = all.taken+f.taken, all.frauds+f.frauds
	}
	return all
}

// reviewed marks the rows that are looked at when each day's k highest are.
func (s *sample) reviewed(k, rows int) []bool {
	marked := make([]bool, rows)
	for i := range s.days {
		for _, row := range s.days[i].rows[:min(k, len(s.days[i].rows))] {
			marked[row] = true
		}
	}
	return marked
}
