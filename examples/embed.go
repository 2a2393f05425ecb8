// Package examples holds three contact lists of invented people, as three organisations might have made them, and the
// truth about who is in more than one of them. The demonstration runs on them, and so can anybody who wants to try an import.
//
// The files are made by ihyid/test/lists from a seed; see README.md beside them.
package examples

import (
	"embed"
	"io/fs"
	"slices"
)

//go:generate go run ihyid/test/lists/cmd/mklists --shipped --out .

//go:embed alpha.csv beta.csv gamma.csv truth.csv
var files embed.FS

// TruthFile names the file of the true pairs: CSV with the columns a_list, a_external_id, b_list, b_external_id. A list goes by
// Organisation.ID; a pair with the same list on both sides is a person whom the organisation registered twice.
const TruthFile = "truth.csv"

// An Organisation is one of the three invented organisations.
type Organisation struct {
	ID                 string // "alpha": the list's name in the truth
	Name               string
	RegistrationNumber string
	Country            string // ISO 3166-1 alpha-2
	File               string // the name of the list in FS
	Contacts           int    // rows of the list
}

var organisations = []Organisation{
	{"alpha", "Alpha Relief", "EX-1001", "LB", "alpha.csv", 400},
	{"beta", "Beta Health", "EX-2002", "LB", "beta.csv", 350},
	{"gamma", "Gamma Secours", "EX-3003", "LB", "gamma.csv", 300},
}

// Organisations returns the three organisations.
func Organisations() []Organisation { return slices.Clone(organisations) }

// FS returns the files: a list for each organisation, and TruthFile.
func FS() fs.FS { return files }

// List returns the bytes of an organisation's list.
func (o Organisation) List() ([]byte, error) { return files.ReadFile(o.File) }
