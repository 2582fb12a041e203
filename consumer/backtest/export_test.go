package backtest

// SketchSlots returns how large a sketch is of the rows' first feature.
func SketchSlots(rows []Row) int {
	var s sketch
	for i := range rows {
		s.add(rows[i].Vector[0])
	}
	return len(s.keys)
}
