package list

// A cell that begins with one of these is a formula to a spreadsheet (OWASP, CSV injection).
func startsFormula(c byte) bool {
	switch c {
	case '=', '+', '-', '@', '\t', '\r':
		return true
	}
	return false
}

// isGuarded says whether the cell is some apostrophes and then a formula: what guard makes, and what it must tell from.
func isGuarded[T string | []byte](cell T) bool {
	i := 0
	for i < len(cell) && cell[i] == '\'' {
		i++
	}
	return i > 0 && i < len(cell) && startsFormula(cell[i])
}

// guard makes a cell harmless to spreadsheets: an apostrophe goes before a formula, and before what already looks guarded,
// so that unguard gives back exactly what was there.
func guard(cell string) string {
	if cell != "" && startsFormula(cell[0]) || isGuarded(cell) {
		return "'" + cell
	}
	return cell
}

// unguard takes off the apostrophe of guard.
func unguard(cell []byte) []byte {
	if len(cell) > 1 && cell[0] == '\'' && isGuarded(cell) {
		return cell[1:]
	}
	return cell
}
