package normalise

import _ "embed"

//go:embed tables/latin-letters.tsv
var latinLettersTable string

// latinFolder makes "latin/1": words of a–z. The order of the words stays.
var latinFolder = mustFolder(latinLettersTable, func(rune) bool { return false })
