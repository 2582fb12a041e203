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
