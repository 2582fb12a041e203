package memstore

// FirstAfter is for tests.
var FirstAfter = firstAfter //nolint:gochecknoglobals // the usual way to show an inner function to tests

// Sizes are how many orders, entities and waiting labels a Store holds.
func Sizes(s *Store) (orders, entities, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.orders.byID), len(s.entities), len(s.waiting)
}
