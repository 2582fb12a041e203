package memstore

// Sizes are how many orders, entities and waiting labels a Store holds.
func Sizes(s *Store) (orders, entities, waiting int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.orders.byID), len(s.entities), len(s.waiting)
}
