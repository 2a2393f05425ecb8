package lists

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// A field of the import format.
type field int

const (
	fieldExternalID field = iota
	fieldFirstName
	fieldLastName
	fieldMother
	fieldFather
	fieldBirth
	fieldSex
	fieldPhone
	fieldNationalID
	fieldHousehold
	fieldLocation
	numFields
)

var fieldNames = [numFields]string{"external_id", "first_name", "last_name", "mother_first_name", "father_first_name", "date_of_birth",
	"sex", "phone", "national_id", "household_id", "location"}

// Header is the language of the first line of a file.
type Header string

// The headers: the names of the import format, or what people call the fields in one of three languages.
const (
	HeaderFormat  Header = ""
	HeaderEnglish Header = "en"
	HeaderFrench  Header = "fr"
	HeaderArabic  Header = "ar"
)

var headers = map[Header][numFields]string{
	HeaderFormat: fieldNames,
	HeaderEnglish: {"External ID", "First name", "Last name", "Mother's first name", "Father's first name", "Date of birth",
		"Sex", "Phone", "National ID", "Household ID", "Location"},
	HeaderFrench: {"Numéro d'enregistrement", "Prénom", "Nom de famille", "Prénom de la mère", "Prénom du père", "Date de naissance",
		"Sexe", "Téléphone", "Numéro national", "Ménage", "Lieu"},
	HeaderArabic: {"رقم التسجيل", "الاسم الأول", "اسم العائلة", "اسم الأم", "اسم الأب", "تاريخ الميلاد",
		"الجنس", "الهاتف", "الرقم الوطني", "رقم الأسرة", "المكان"},
}

// DateForm is how a file writes dates.
type DateForm string

// The forms of dates.
const (
	DateISO   DateForm = ""           // 1976-05-07
	DateSlash DateForm = "DD/MM/YYYY" // 07/05/1976
	DateDots  DateForm = "DD.MM.YYYY" // 07.05.1976
)

// DefaultColumns are the columns of a Layout that names none.
func DefaultColumns() []string { return slices.Clone(fieldNames[:fieldPhone]) }

// AllColumns are the columns that there are, by their names in the import format.
func AllColumns() []string { return slices.Clone(fieldNames[:]) }

// A Layout is the form of a file of contacts: delimited text in UTF-8, quoted as in RFC 4180 where it has to be. The zero value is
// comma-separated with DefaultColumns, line feeds, and the names of the import format in the first line.
type Layout struct {
	Separator byte     // ',' (also 0), ';', '|' or a tab
	Columns   []string // of AllColumns, in any order, external_id among them; none means DefaultColumns
	Header    Header
	Dates     DateForm
	BOM       bool // begin with a byte order mark, as spreadsheets do
	CRLF      bool
	Quoted    bool // put every value into quotation marks
}

func (l *Layout) check() error {
	switch l.Separator {
	case 0, ',', ';', '|', '\t':
	default:
		return fmt.Errorf("separator %q", l.Separator)
	}
	if _, ok := headers[l.Header]; !ok {
		return fmt.Errorf("no header is called %q", l.Header)
	}
	switch l.Dates {
	case DateISO, DateSlash, DateDots:
	default:
		return fmt.Errorf("no form of dates is called %q", l.Dates)
	}
	seen := make(map[string]bool)
	for _, c := range l.Columns {
		if !slices.Contains(fieldNames[:], c) || seen[c] {
			return fmt.Errorf("column %q is not one of the import format or stands twice", c)
		}
		seen[c] = true
	}
	if len(l.Columns) > 0 && !seen[fieldNames[fieldExternalID]] {
		return fmt.Errorf("the columns are without external_id, by which the truth knows the rows")
	}
	return nil
}

func (l *Layout) fields() []field {
	columns := l.Columns
	if len(columns) == 0 {
		columns = DefaultColumns()
	}
	var out []field
	for _, c := range columns {
		out = append(out, field(slices.Index(fieldNames[:], c)))
	}
	return out
}

// flushAt is how many bytes are gathered before they are written.
const flushAt = 64 << 10

// WriteCSV writes a list in the layout of its organisation. It needs no buffering beneath it.
func (p *Population) WriteCSV(w io.Writer, list int) error {
	l := p.o.Organisations[list].Layout
	if l.Separator == 0 {
		l.Separator = ','
	}
	fields := l.fields()
	buf := make([]byte, 0, flushAt+4096)
	if l.BOM {
		buf = append(buf, "\ufeff"...)
	}
	for i, f := range fields {
		buf = l.appendField(buf, i, []byte(headers[l.Header][f]))
	}
	buf = l.endLine(buf)
	for c := range p.rows(list) {
		for i, f := range fields {
			value := c.field(f)
			if f == fieldBirth && l.Dates != DateISO && len(value) == len("YYYY-MM-DD") {
				var d [10]byte
				value = l.date(d[:0], value)
			}
			buf = l.appendField(buf, i, value)
		}
		buf = l.endLine(buf)
		if len(buf) >= flushAt {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

// date turns YYYY-MM-DD into the form of the layout.
func (l *Layout) date(dst, iso []byte) []byte {
	mark := byte('/')
	if l.Dates == DateDots {
		mark = '.'
	}
	dst = append(append(dst, iso[8:10]...), mark)
	dst = append(append(dst, iso[5:7]...), mark)
	return append(dst, iso[:4]...)
}

func (l *Layout) appendField(b []byte, column int, value []byte) []byte {
	if column > 0 {
		b = append(b, l.Separator)
	}
	quote := l.Quoted
	for _, c := range value {
		quote = quote || c == l.Separator || c == '"' || c == '\r' || c == '\n'
	}
	if !quote {
		return append(b, value...)
	}
	b = append(b, '"')
	b = append(b, bytes.ReplaceAll(value, []byte(`"`), []byte(`""`))...)
	return append(b, '"')
}

func (l *Layout) endLine(b []byte) []byte {
	if l.CRLF {
		b = append(b, '\r')
	}
	return append(b, '\n')
}

// WriteTruth writes the pairs as CSV with the columns a_list, a_external_id, b_list, b_external_id; lists go by the name of their
// organisation.
func (p *Population) WriteTruth(w io.Writer) error {
	buf := make([]byte, 0, flushAt+4096)
	buf = append(buf, "a_list,a_external_id,b_list,b_external_id\n"...)
	for t := range p.Pairs() {
		buf = append(buf, p.o.Organisations[t.AList].Name...)
		buf = append(append(buf, ','), t.A...)
		buf = append(append(buf, ','), p.o.Organisations[t.BList].Name...)
		buf = append(append(buf, ','), t.B...)
		buf = append(buf, '\n')
		if len(buf) >= flushAt {
			if _, err := w.Write(buf); err != nil {
				return err
			}
			buf = buf[:0]
		}
	}
	_, err := w.Write(buf)
	return err
}

// WriteCSV writes the first list of the population that the options describe: the whole of what a benchmark of one list needs.
func WriteCSV(w io.Writer, o Options) error {
	p, err := New(o)
	if err != nil {
		return err
	}
	return p.WriteCSV(w, 0)
}
