package list

import (
	_ "embed"
	"fmt"
	"strings"
	"unicode"

	"ihyid/contacts"
)

// Header says how the columns of a list are read. It can be stored as JSON.
type Header struct {
	Format  Format            `json:"format"`
	Comma   string            `json:"comma,omitempty"` // delimiter of CSV
	Sheet   string            `json:"sheet,omitempty"` // of a workbook
	Map     map[string]string `json:"map,omitempty"`   // of JSON Lines, see [ReaderOptions]
	Columns []Column          `json:"columns"`
}

// Column is a column of a list.
type Column struct {
	Name  string `json:"name"`            // as it stands in the file
	Field string `json:"field,omitempty"` // of the contact; empty if the column is not read
}

// Unknown lists the names of the columns that are not read.
func (h Header) Unknown() []string {
	var names []string
	for _, c := range h.Columns {
		if c.Field == "" {
			names = append(names, c.Name)
		}
	}
	return names
}

//go:embed headers.tsv
var headerTable string

// headerNames maps the reduced names of columns, see reduce, to fields.
var headerNames = func() map[string]contacts.Field {
	m := make(map[string]contacts.Field)
	for line := range strings.Lines(headerTable) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		name, field, ok := strings.Cut(line, "\t")
		f, known := contacts.ParseField(field)
		if !ok || !known {
			panic("list: headers.tsv: " + line) // part of the program; a test reads it
		}
		m[reduce(name)] = f
	}
	return m
}()

// reduce brings the ways to write a column's name together: case, spaces, underscores, dots and hyphens do not count, nor does
// the path of groups that survey tools write before it ("group_a/first_name").
func reduce(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 && i < len(name)-1 {
		name = name[i+1:]
	}
	var b strings.Builder
	for _, r := range strings.ToLower(contacts.CleanText(name)) {
		// Questions are numbered: "1.2 First name".
		if unicode.IsLetter(r) || unicode.IsDigit(r) && b.Len() > 0 {
			b.WriteRune(r)
		}
	}
	return b.String()
}

// makeHeader reads the names of the columns.
func makeHeader(names []string, mapping map[string]string, passOver bool) (Header, error) {
	var h Header
	mapped := make(map[string]string, len(mapping)) // not seen yet
	byName := make(map[string]string, len(mapping))
	for name, field := range mapping {
		if _, ok := contacts.ParseField(field); !ok && field != "-" {
			return h, fmt.Errorf("%w: a column is mapped to %q, which is no field of a contact", ErrHeader, field)
		}
		mapped[contacts.CleanText(name)], byName[contacts.CleanText(name)] = field, field
	}
	for _, name := range names {
		c := Column{Name: name}
		if field, ok := mapped[contacts.CleanText(name)]; ok {
			delete(mapped, contacts.CleanText(name))
			if field != "-" {
				c.Field = field
			}
		} else if f, ok := headerNames[reduce(name)]; ok {
			c.Field = f.String()
		}
		h.Columns = append(h.Columns, c)
	}
	for _, field := range mapped {
		if passOver {
			for name := range mapped {
				delete(byName, name)
			}
			break
		}
		return h, fmt.Errorf("%w: the column mapped to %s is not in the file", ErrHeader, field)
	}
	// A mapping wins over a name that is known by itself: the mapped column is the one meant.
	for i := range h.Columns {
		c := &h.Columns[i]
		if c.Field == "" || byName[contacts.CleanText(c.Name)] == c.Field {
			continue
		}
		for _, field := range byName {
			if field == c.Field {
				c.Field = ""
				break
			}
		}
	}
	h.choose()
	return h, h.check()
}

// ParseMap reads mappings as people write them, field and column with "=" between (first_name=Prénom usuel), into what
// [ReaderOptions] takes. A field or a column may be there once.
func ParseMap(pairs []string) (map[string]string, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	m := make(map[string]string, len(pairs))
	fields := make(map[string]bool, len(pairs))
	for _, p := range pairs {
		field, column, ok := strings.Cut(p, "=")
		field, column = strings.TrimSpace(field), contacts.CleanText(column)
		if _, known := contacts.ParseField(field); !ok || !known || column == "" {
			return nil, fmt.Errorf("%w: a mapping is a field of a contact, =, and the name of a column: first_name=Prénom; the fields are %s", ErrHeader, fieldNames())
		}
		if fields[field] || m[column] != "" {
			return nil, fmt.Errorf("%w: two mappings name the same field or column", ErrHeader)
		}
		fields[field], m[column] = true, field
	}
	return m, nil
}

func fieldNames() string {
	var names []string
	for _, f := range contacts.Fields() {
		names = append(names, f.String())
	}
	return strings.Join(names, ", ")
}

// choose settles columns that mean the same field by different names, where no harm is in it: lists hold a telephone and a mobile
// number, a village and a district. The field's own name wins, then the first column; the others are not read. For
// names, dates and national ids it is for a person to say which is which.
func (h *Header) choose() {
	best := map[string]int{}
	for i, c := range h.Columns {
		switch c.Field {
		case "phone", "household_id", "location", "external_id":
		default:
			continue
		}
		j, taken := best[c.Field]
		switch {
		case !taken:
			best[c.Field] = i
		case reduce(c.Name) == reduce(h.Columns[j].Name):
			// Twice the same name: check refuses it.
		case reduce(c.Name) == reduce(c.Field):
			h.Columns[j].Field, best[c.Field] = "", i
		default:
			h.Columns[i].Field = ""
		}
	}
}

// check refuses a header that no list of contacts has.
func (h Header) check() error {
	if len(h.Columns) > MaxColumns {
		return fmt.Errorf("%w: more than %d columns", ErrHeader, MaxColumns)
	}
	seen := make(map[string]int)
	for i, c := range h.Columns {
		if c.Field == "" {
			continue
		}
		if _, ok := contacts.ParseField(c.Field); !ok {
			return fmt.Errorf("%w: column %d is mapped to no field of a contact", ErrHeader, i+1)
		}
		if j := seen[c.Field]; j > 0 {
			return fmt.Errorf("%w: columns %d and %d both hold %s", ErrHeader, j, i+1, c.Field)
		}
		seen[c.Field] = i + 1
	}
	if seen["first_name"] == 0 && seen["last_name"] == 0 {
		return fmt.Errorf("%w: the first line names neither first_name nor last_name: it has to hold the names of the columns; add such a line, or say which column holds which field", ErrHeader)
	}
	return nil
}

// known counts the columns that are read.
func (h Header) known() int { return len(h.Columns) - len(h.Unknown()) }
