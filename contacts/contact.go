package contacts

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds of a contact's fields, in runes (Unicode code points). They are wide enough for any real value, and keep a
// record small enough that millions fit a node, a page can show it, and no input makes matching slow.
const (
	// MaxNameRunes bounds each name. The longest full names that registries report run to some 150 letters, and a
	// field here holds a part of a name only; vowel signs of Arabic can double the code points.
	MaxNameRunes = 200
	// MaxLocationRunes bounds the location: a line of address or the path of a camp, block and tent.
	MaxLocationRunes = 300
	// MaxIDRunes bounds each identifier: a UUID has 36 characters, a URN some more.
	MaxIDRunes = 100
	// MaxPhoneRunes bounds the phone: 15 digits by E.164, with room for spaces, brackets and an extension.
	MaxPhoneRunes = 40
)

// Contact is a person whom an organisation serves. Every field is optional by itself, but a contact without
// a first or last name is refused, and a match key whose field is empty is not made.
type Contact struct {
	FirstName       string `json:"first_name,omitempty"`
	LastName        string `json:"last_name,omitempty"`
	MotherFirstName string `json:"mother_first_name,omitempty"`
	FatherFirstName string `json:"father_first_name,omitempty"`
	DateOfBirth     string `json:"date_of_birth,omitempty"` // YYYY-MM-DD, Gregorian
	Sex             string `json:"sex,omitempty"`           // F, M or X
	Phone           string `json:"phone,omitempty"`         // as written; E.164 matches best
	NationalID      string `json:"national_id,omitempty"`
	HouseholdID     string `json:"household_id,omitempty"`
	Location        string `json:"location,omitempty"`
	ExternalID      string `json:"external_id,omitempty"` // the organisation's own number for the contact
}

// Field names a field of a contact. The zero value is the first name; [NumFields] is their number.
type Field uint8

// The fields, in the order in which lists are written.
const (
	FirstName Field = iota
	LastName
	MotherFirstName
	FatherFirstName
	DateOfBirth
	Sex
	Phone
	NationalID
	HouseholdID
	Location
	ExternalID
	NumFields = iota
)

var fieldNames = [NumFields]string{
	"first_name", "last_name", "mother_first_name", "father_first_name", "date_of_birth",
	"sex", "phone", "national_id", "household_id", "location", "external_id",
}

// String gives the name of the field as JSON, lists and profiles write it, e.g. "mother_first_name".
func (f Field) String() string {
	if int(f) < len(fieldNames) {
		return fieldNames[f]
	}
	return "unknown"
}

// ParseField is the inverse of [Field.String].
func ParseField(name string) (Field, bool) {
	for i, n := range fieldNames {
		if n == name {
			return Field(i), true
		}
	}
	return 0, false
}

// Fields lists all fields in their order.
func Fields() []Field {
	all := make([]Field, NumFields)
	for i := range all {
		all[i] = Field(i)
	}
	return all
}

// IsName says whether the field holds a name of a person.
func (f Field) IsName() bool { return f <= FatherFirstName }

// MaxRunes is the longest value that the field may hold, in runes.
func (f Field) MaxRunes() int {
	switch f {
	case FirstName, LastName, MotherFirstName, FatherFirstName:
		return MaxNameRunes
	case DateOfBirth:
		return len("YYYY-MM-DD")
	case Sex:
		return 1
	case Phone:
		return MaxPhoneRunes
	case Location:
		return MaxLocationRunes
	default:
		return MaxIDRunes
	}
}

// Value gives the field's value.
func (c *Contact) Value(f Field) string {
	if p := c.at(f); p != nil {
		return *p
	}
	return ""
}

// Set sets the field's value, as it is.
func (c *Contact) Set(f Field, value string) {
	if p := c.at(f); p != nil {
		*p = value
	}
}

func (c *Contact) at(f Field) *string {
	switch f {
	case FirstName:
		return &c.FirstName
	case LastName:
		return &c.LastName
	case MotherFirstName:
		return &c.MotherFirstName
	case FatherFirstName:
		return &c.FatherFirstName
	case DateOfBirth:
		return &c.DateOfBirth
	case Sex:
		return &c.Sex
	case Phone:
		return &c.Phone
	case NationalID:
		return &c.NationalID
	case HouseholdID:
		return &c.HouseholdID
	case Location:
		return &c.Location
	case ExternalID:
		return &c.ExternalID
	}
	return nil
}

// FieldError says what is wrong with one field of a contact. It never holds the value.
type FieldError struct {
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

func (e FieldError) Error() string { return e.Field + ": " + e.Reason }

// Clean brings a contact as people type it into the form that is stored: white space trimmed and collapsed, NFC, invisible
// direction marks and soft hyphens dropped, placeholders without a letter ("-", "?", "...") emptied in names, sex
// as F, M or X where the word is known, and the date as YYYY-MM-DD where [ParseDate] can read it. Cleaning
// twice changes nothing. What it cannot bring in order it leaves for [Contact.Validate] to name.
func (c *Contact) Clean() {
	for f := range Field(NumFields) {
		p := c.at(f)
		if *p == "" {
			continue
		}
		*p = CleanText(*p)
		switch {
		case f.IsName():
			if isPlaceholder(*p) {
				*p = ""
			}
		case f == DateOfBirth:
			if d, err := ParseDate(*p); err == nil {
				*p = d
			}
		case f == Sex:
			if s, ok := ParseSex(*p); ok {
				*p = s
			}
		}
	}
}

// Validate says what is wrong with a contact, by field, in the order of the fields; nil if nothing is. It checks bounds,
// control characters, the date of birth and that somebody is named.
func (c *Contact) Validate() []FieldError {
	var errs []FieldError
	for f := range Field(NumFields) {
		if reason := f.check(*c.at(f)); reason != "" {
			errs = append(errs, FieldError{f.String(), reason})
		}
	}
	if c.FirstName == "" && c.LastName == "" {
		errs = append(errs, FieldError{FirstName.String(), "a contact needs a first or a last name"})
	}
	return errs
}

// check gives the reason why a value is refused, or "".
func (f Field) check(s string) string {
	if s == "" {
		return ""
	}
	switch f {
	case DateOfBirth:
		if !isDate(s) {
			return "is not a date of the form YYYY-MM-DD"
		}
		return ""
	case Sex:
		if s != "F" && s != "M" && s != "X" {
			return "is none of F, M and X"
		}
		return ""
	}
	letter := false
	runes := 0
	for i, r := range s {
		runes++
		if r < utf8.RuneSelf {
			if r < 0x20 || r == 0x7f {
				return "holds a control character"
			}
			letter = letter || 'a' <= r|0x20 && r|0x20 <= 'z'
			continue
		}
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return "is not valid UTF-8"
			}
		case unicode.IsControl(r) || isInvisible(r) || r == '\u2028' || r == '\u2029':
			return "holds a control character"
		}
		letter = letter || unicode.IsLetter(r)
	}
	if limit := f.MaxRunes(); runes > limit {
		return fmt.Sprintf("is longer than %d characters", limit)
	}
	if f.IsName() && !letter {
		return "has no letter"
	}
	return ""
}

// CleanText trims, collapses white space (line breaks included) to single spaces, drops characters that nobody can see and
// that make equal texts differ (direction marks, zero-width spaces, soft hyphens, byte order marks), and composes to NFC.
// The zero-width non-joiner and joiner stay: Persian and Indic spelling needs them.
func CleanText(s string) string {
	if isClean(s) {
		return s
	}
	s = norm.NFC.String(strings.ToValidUTF8(s, "\ufffd"))
	var b strings.Builder
	b.Grow(len(s))
	space := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r):
			space = b.Len() > 0
		case isInvisible(r):
		default:
			if space {
				b.WriteByte(' ')
				space = false
			}
			b.WriteRune(r)
		}
	}
	// Dropping a mark can bring two characters together that compose.
	return norm.NFC.String(b.String())
}

// isClean says, quickly, that CleanText has nothing to do.
func isClean(s string) bool {
	ascii := true
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c >= utf8.RuneSelf:
			ascii = false
		case c == ' ':
			if i == 0 || i == len(s)-1 || s[i+1] == ' ' {
				return false
			}
		case c >= '\t' && c <= '\r':
			return false
		}
	}
	if ascii {
		return true
	}
	prevSpace, composed := false, true
	for i, r := range s {
		switch {
		case r < utf8.RuneSelf:
			if r == ' ' && prevSpace {
				return false
			}
		case isComposed(r):
		case unicode.IsSpace(r) || isInvisible(r):
			return false
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				return false
			}
			composed = false
		default:
			composed = false
		}
		prevSpace = r == ' '
	}
	return composed || norm.NFC.IsNormalString(s)
}

// isComposed holds for the letters of most names here, which by themselves are in NFC, begin no composition and end none.
func isComposed(r rune) bool {
	return 'ء' <= r && r <= 'غ' || 'ف' <= r && r <= 'ي' || 'ٱ' <= r && r <= 'ە' || 'Ѐ' <= r && r <= 'џ' || 'À' <= r && r <= 'ſ'
}

// isInvisible holds for characters that steer display and carry no meaning in a name.
func isInvisible(r rune) bool {
	switch {
	case r == '\u00ad', r == '\u061c', r == '\u180e', r == '\u200b', r == '\u200e', r == '\u200f', r == '\ufeff':
		return true
	case r >= '\u202a' && r <= '\u202e', r >= '\u2060' && r <= '\u206f', r >= '\ufff9' && r <= '\ufffb':
		return true
	case r >= 0xe0000 && r <= 0xe007f: // tags
		return true
	}
	return false
}

// isPlaceholder holds for what people type where a name is not known: dashes, dots, question marks.
func isPlaceholder(s string) bool {
	for _, r := range s {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsControl(r) || unicode.IsSymbol(r) || r == utf8.RuneError {
			return false
		}
	}
	return s != ""
}

// ParseSex reads the usual words for a person's sex in English, French, Arabic and Ukrainian, and their first letters.
// It answers "F", "M", or "X" (another, or not said).
func ParseSex(s string) (string, bool) {
	if s == "F" || s == "M" || s == "X" {
		return s, true
	}
	switch strings.ToLower(s) {
	case "f", "female", "woman", "girl", "femme", "féminin", "feminin", "fille", "w", "أنثى", "انثى", "أنثي", "انثي", "ж", "жінка", "жін", "жіноча", "жен", "женский":
		return "F", true
	case "m", "male", "man", "boy", "homme", "masculin", "garçon", "h", "ذكر", "ч", "чоловік", "чол", "чоловіча", "муж", "мужской", "м":
		return "M", true
	case "x", "o", "other", "unknown", "u", "not stated", "autre", "inconnu", "آخر", "اخر", "غير معروف", "-", "?", "n/a", "na":
		return "X", true
	}
	return "", false
}
