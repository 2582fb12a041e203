package backtest

// SketchSlots returns how large a sketch is of the rows' first feature.
func SketchSlots(rows []Row) int {
	var s sketch
	for i := range rows {
		s.add(rows[i].Vector[0])
	}
	return len(s.keys)
}

// Thin is thin.
func Thin(n, limit int, length func(i int) float64) []int { return thin(n, limit, length) }

// Draw returns how often each of the customers is there in replicate b.
func Draw(keys []uint64, seed uint64, b int) []uint8 {
	weights := make([]uint8, len(keys))
	draw(weights, keys, seed, b)
	return weights
}

// Between returns the interval that a report tells of replicates with these figures.
func Between(figures []float64) *Interval { return intervalOf(figures, len(figures)) }
