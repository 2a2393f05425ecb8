package did

// Waiting returns how many callers wait for a fetch, so that tests need no sleep.
func (r *CachingResolver) Waiting(did string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f := r.flights[did]; f != nil {
		return f.waiters
	}
	return 0
}
