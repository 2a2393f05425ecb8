package contacts

import (
	"errors"
	"strings"
	"time"
	"unicode/utf8"
)

// Why a date of birth is refused. Each says what to do about it, and none holds the value.
var (
	ErrDateInvalid   = errors.New("is not a date; write YYYY-MM-DD")
	ErrDateAmbiguous = errors.New("may be day/month or month/day; write YYYY-MM-DD, or say which order the file has")
	ErrDateCentury   = errors.New("has a year of two digits; write YYYY-MM-DD")
	ErrDateYearOnly  = errors.New("has no day or month; write YYYY-01-01 where only the year is known")
	ErrDateHijri     = errors.New("has a year of the Hijri or Persian calendar; convert it to the Gregorian calendar")
	ErrDateSerial    = errors.New("is a spreadsheet's day number; format the column as a date and save again")
	ErrDateTime      = errors.New("has a time of day, so a time zone may have moved the date; write YYYY-MM-DD")
	ErrDateFuture    = errors.New("lies in the future")
)

// The years in which a living or recently dead person may be born: wide enough for any register, narrow enough to tell other calendars.
const (
	MinBirthYear = 1850
	MaxBirthYear = 2150
)

// DateOrder is the order of day and month in dates such as 03/04/1980.
type DateOrder string

// The orders. The zero value refuses dates that could be either.
const (
	OrderUnknown  DateOrder = ""
	OrderDayMonth DateOrder = "dmy"
	OrderMonthDay DateOrder = "mdy"
)

// Dates reads dates as people and spreadsheets write them. The zero value accepts only what can be read in one way:
// YYYY-MM-DD (also with / or . and as YYYYMMDD), D/M/YYYY where one number is over 12 or both are equal, D.M.YYYY (dots always
// mean that order), months by name in English, French, Arabic, Ukrainian and Russian, and any of these followed by
// midnight. Arabic-Indic and Persian digits count as digits.
type Dates struct {
	Order    DateOrder // of dates like 03/04/1980
	YearOnly bool      // accept "1980" as 1980-01-01
	Serial   bool      // accept the day numbers of spreadsheets (1900 system): 29285 is 1980-03-05
	// Today, if set, refuses dates after it (and a day's grace for time zones).
	Today time.Time
}

// ParseDate reads a date with the zero [Dates] and answers it as YYYY-MM-DD. Its errors are the ErrDate… of this package.
func ParseDate(s string) (string, error) { return Dates{}.Parse(s) }

// Parse reads a date and answers it as YYYY-MM-DD. Its errors are the ErrDate… of this package.
func (d Dates) Parse(s string) (string, error) {
	if isDate(s) {
		return s, d.checkFuture(s)
	}
	out, err := d.parse(s)
	if err != nil {
		return "", err
	}
	return out, d.checkFuture(out)
}

func (d Dates) checkFuture(iso string) error {
	if d.Today.IsZero() {
		return nil
	}
	year, month, day := d.Today.AddDate(0, 0, 1).Date()
	var buf [10]byte
	if iso > string(appendDate(buf[:0], year, int(month), day)) {
		return ErrDateFuture
	}
	return nil
}

// maxDateBytes bounds the work on a date: the longest honest one, month in words and a time behind it, is under 64 bytes.
const maxDateBytes = 96

func (d Dates) parse(s string) (string, error) {
	if len(s) > maxDateBytes {
		return "", ErrDateInvalid
	}
	tokens, err := scanDate(s)
	if err != nil {
		return "", err
	}
	tokens, err = cutTime(tokens)
	if err != nil {
		return "", err
	}
	switch len(tokens) {
	case 1:
		return d.parseNumber(tokens[0])
	case 3:
		return d.parseThree(tokens)
	}
	return "", ErrDateInvalid
}

// dateToken is a number or a month's name, with the separator before it.
type dateToken struct {
	number int
	digits int // 0 for a month's name
	sep    rune
}

// scanDate cuts a date into numbers and month names.
func scanDate(s string) ([]dateToken, error) {
	var tokens []dateToken
	sep := rune(0)
	for len(s) > 0 {
		r, n := utf8.DecodeRuneInString(s)
		if r == utf8.RuneError && n == 1 {
			return nil, ErrDateInvalid
		}
		if v, ok := digitValue(r); ok {
			t := dateToken{sep: sep}
			for ok {
				t.number, t.digits = t.number*10+v, t.digits+1
				if t.digits > 9 {
					return nil, ErrDateInvalid
				}
				s = s[n:]
				r, n = utf8.DecodeRuneInString(s)
				v, ok = digitValue(r)
			}
			tokens, sep = append(tokens, t), 0
			continue
		}
		if isDateSeparator(r) {
			// A space beside a stronger separator adds nothing: "5 / 3 / 1980", "March 5, 1980".
			if sep == 0 || sep == ' ' {
				sep = r
			} else if r != ' ' {
				return nil, ErrDateInvalid
			}
			s = s[n:]
			continue
		}
		if isInvisible(r) {
			s = s[n:]
			continue
		}
		end := strings.IndexFunc(s, func(r rune) bool {
			_, digit := digitValue(r)
			return digit || (isDateSeparator(r) && r != ' ') || isInvisible(r)
		})
		if end < 0 {
			end = len(s)
		}
		word := s[:end]
		// A month may have two words (كانون الثاني), and be followed by a space.
		trimmed := strings.TrimRight(word, " ")
		if trimmed == "هـ" || trimmed == "ه" { // how a Hijri year is marked in Arabic
			return nil, ErrDateHijri
		}
		if trimmed == "T" || trimmed == "Z" {
			tokens, sep = append(tokens, dateToken{number: -int(trimmed[0]), sep: sep}), 0
		} else {
			m, ok := months[strings.ToLower(trimmed)]
			if !ok {
				return nil, ErrDateInvalid
			}
			tokens, sep = append(tokens, dateToken{number: m, sep: sep}), 0
		}
		if len(trimmed) < len(word) {
			sep = ' '
		}
		s = s[end:]
	}
	return tokens, nil
}

func isDateSeparator(r rune) bool {
	switch r {
	case '-', '/', '.', ' ', ',', ':', '+', '\u00a0', '\u2010', '\u2011', '\u2013', '،', '٫':
		return true
	}
	return false
}

func digitValue(r rune) (int, bool) {
	switch {
	case '0' <= r && r <= '9':
		return int(r - '0'), true
	case '٠' <= r && r <= '٩':
		return int(r - '٠'), true
	case '۰' <= r && r <= '۹':
		return int(r - '۰'), true
	}
	return 0, false
}

// cutTime drops a midnight behind the date and refuses any other time.
func cutTime(tokens []dateToken) ([]dateToken, error) {
	if len(tokens) <= 3 {
		return tokens, nil
	}
	rest := tokens[3:]
	if rest[0].number == -'T' {
		rest = rest[1:]
	} else if rest[0].sep != ' ' {
		return nil, ErrDateInvalid
	}
	if n := len(rest); n > 0 && rest[n-1].number == -'Z' {
		rest = rest[:n-1]
	}
	if len(rest) < 2 || len(rest) > 6 {
		return nil, ErrDateInvalid
	}
	for i, t := range rest {
		if t.digits == 0 || i > 0 && t.sep == ' ' || i == 1 && t.sep != ':' {
			return nil, ErrDateInvalid
		}
		// Zone offsets are refused with the times: midnight in one zone is the day before in another.
		if t.number != 0 {
			return nil, ErrDateTime
		}
	}
	return tokens[:3], nil
}

// parseNumber reads a date of one number: YYYYMMDD, a year, or a spreadsheet's day number.
func (d Dates) parseNumber(t dateToken) (string, error) {
	switch {
	case t.digits == 8:
		// With a year of our time no YYYYMMDD can be read as DDMMYYYY as well: its "year" would be before 1232.
		return makeDate(t.number/10000, t.number/100%100, t.number%100)
	case t.digits == 4 && t.number >= 1300 && t.number <= 1500:
		return "", ErrDateHijri
	case t.digits == 4 && t.number >= MinBirthYear && t.number <= MaxBirthYear:
		if d.YearOnly {
			return makeDate(t.number, 1, 1)
		}
		return "", ErrDateYearOnly
	case t.digits == 5 || t.digits == 4 && d.Serial && t.number > MaxBirthYear:
		if !d.Serial {
			return "", ErrDateSerial
		}
		// Day 60 is 29 February 1900, which never was; nobody alive was born before it.
		if t.number <= 60 {
			return "", ErrDateInvalid
		}
		y, m, day := time.Date(1899, 12, 30+t.number, 0, 0, 0, 0, time.UTC).Date()
		return makeDate(y, int(m), day)
	}
	return "", ErrDateInvalid
}

func (d Dates) parseThree(t []dateToken) (string, error) {
	a, b, c := t[0], t[1], t[2]
	if b.sep == 0 && b.digits > 0 && a.digits > 0 || b.sep == ':' || c.sep == ':' || b.sep == '+' || c.sep == '+' {
		return "", ErrDateInvalid
	}
	for _, x := range t {
		if x.number < 0 {
			return "", ErrDateInvalid
		}
	}
	switch {
	case a.digits == 0 && b.digits > 0 && c.digits > 0: // March 5, 1980
		return withMonthName(c, a.number, b)
	case b.digits == 0 && a.digits == 4 && c.digits > 0: // 1980 March 5
		return withMonthName(a, b.number, c)
	case b.digits == 0 && a.digits > 0 && c.digits > 0: // 5 March 1980
		return withMonthName(c, b.number, a)
	case a.digits == 0 || b.digits == 0 || c.digits == 0:
		return "", ErrDateInvalid
	case b.sep != c.sep:
		return "", ErrDateInvalid
	case a.digits == 4 && b.digits <= 2 && c.digits <= 2:
		return makeDate(a.number, b.number, c.number)
	case c.digits == 4 && a.digits <= 2 && b.digits <= 2:
		return d.order(a.number, b.number, c.number, b.sep)
	case a.digits <= 2 && b.digits <= 2 && c.digits <= 2:
		return "", ErrDateCentury
	}
	return "", ErrDateInvalid
}

// order tells day from month where the year stands last.
func (d Dates) order(a, b, year int, sep rune) (string, error) {
	dmy, errDMY := makeDate(year, b, a)
	mdy, errMDY := makeDate(year, a, b)
	switch {
	case errDMY == ErrDateHijri || errMDY == ErrDateHijri:
		return "", ErrDateHijri
	case errDMY != nil && errMDY != nil:
		return "", errDMY
	case d.Order == OrderDayMonth || sep == '.':
		return dmy, errDMY
	case d.Order == OrderMonthDay:
		return mdy, errMDY
	case errMDY != nil || a == b:
		return dmy, errDMY
	case errDMY != nil:
		return mdy, nil
	}
	return "", ErrDateAmbiguous
}

func withMonthName(year dateToken, month int, day dateToken) (string, error) {
	if year.digits == 2 {
		return "", ErrDateCentury
	}
	if year.digits != 4 || day.digits > 2 {
		return "", ErrDateInvalid
	}
	return makeDate(year.number, month, day.number)
}

func makeDate(year, month, day int) (string, error) {
	if year >= 1300 && year <= 1500 && month >= 1 && month <= 12 && day >= 1 && day <= 31 {
		return "", ErrDateHijri
	}
	var b [10]byte
	s := string(appendDate(b[:0], year, month, day))
	if month > 12 || day > 31 || year > 9999 || !isDate(s) {
		return "", ErrDateInvalid
	}
	return s, nil
}

// appendDate appends YYYY-MM-DD; of larger numbers, their last digits.
func appendDate(dst []byte, year, month, day int) []byte {
	digit := func(n int) byte { return '0' + byte(n%10) }
	return append(dst, digit(year/1000), digit(year/100), digit(year/10), digit(year), '-', digit(month/10), digit(month), '-', digit(day/10), digit(day))
}

var daysInMonth = [13]int{0, 31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31}

// isDate says whether s is a real Gregorian day in the form YYYY-MM-DD, within the years of birth.
func isDate(s string) bool {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return false
	}
	n := 0
	for i := 0; i < 10; i++ {
		if i == 4 || i == 7 {
			continue
		}
		c := s[i] - '0'
		if c > 9 {
			return false
		}
		n = n*10 + int(c)
	}
	year, month, day := n/10000, n/100%100, n%100
	if year < MinBirthYear || year > MaxBirthYear || month < 1 || month > 12 || day < 1 || day > daysInMonth[month] {
		return false
	}
	return month != 2 || day != 29 || year%4 == 0 && (year%100 != 0 || year%400 == 0)
}
