package register

// SetBatch sets how many rows of an import one transaction takes, so that short lists have several.
func (r *Register) SetBatch(rows int) { r.batch = rows }
