package contacts

import (
	"errors"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func TestParseDate(t *testing.T) {
	for _, tc := range []struct {
		in, want string
		err      error
	}{
		{"1980-03-05", "1980-03-05", nil},
		{"1980/3/5", "1980-03-05", nil},
		{"1980.03.05", "1980-03-05", nil},
		{"19800305", "1980-03-05", nil},
		{"25/12/1980", "1980-12-25", nil},
		{"12/25/1980", "1980-12-25", nil},
		{"25-12-1980", "1980-12-25", nil},
		{"03/03/1980", "1980-03-03", nil},
		{"3.4.1980", "1980-04-03", nil},
		{"03.04.1980", "1980-04-03", nil},
		{"5-Mar-1980", "1980-03-05", nil},
		{"5 March 1980", "1980-03-05", nil},
		{"March 5, 1980", "1980-03-05", nil},
		{"5 mars 1980", "1980-03-05", nil},
		{"1980-Mar-05", "1980-03-05", nil},
		{"5 آذار 1980", "1980-03-05", nil},
		{"٥ كانون الثاني ١٩٨٠", "1980-01-05", nil},
		{"15 березня 1980", "1980-03-15", nil},
		{"١٩٨٠-٠٣-٠٥", "1980-03-05", nil},
		{"۱۹۸۰/۰۳/۰۵", "1980-03-05", nil},
		{"\u200f25/12/1980", "1980-12-25", nil},
		{"1980-03-05T00:00:00", "1980-03-05", nil},
		{"1980-03-05T00:00:00.000Z", "1980-03-05", nil},
		{"1980-03-05 00:00:00", "1980-03-05", nil},
		{"25/12/1980 0:00", "1980-12-25", nil},
		{"2000-02-29", "2000-02-29", nil},

		{"03/04/1980", "", ErrDateAmbiguous},
		{"3-4-1980", "", ErrDateAmbiguous},
		{"05/03/80", "", ErrDateCentury},
		{"5-Mar-80", "", ErrDateCentury},
		{"1980", "", ErrDateYearOnly},
		{"29285", "", ErrDateSerial},
		{"1400-05-03", "", ErrDateHijri},
		{"03/05/1400", "", ErrDateHijri},
		{"١٤٠٠/٠٥/٠٣", "", ErrDateHijri},
		{"12/09/1405 هـ", "", ErrDateHijri},
		{"1405/9/12هـ", "", ErrDateHijri},
		{"25/03/1405", "", ErrDateHijri},
		{"1400", "", ErrDateHijri},
		{"1979-12-31T22:00:00Z", "", ErrDateTime},
		{"1980-03-05T00:00:00+02:00", "", ErrDateTime},

		{"", "", ErrDateInvalid},
		{"0000-00-00", "", ErrDateInvalid},
		{"00/00/0000", "", ErrDateInvalid},
		{"31/02/1980", "", ErrDateInvalid},
		{"1980-02-31", "", ErrDateInvalid},
		{"1900-02-29", "", ErrDateInvalid},
		{"1980-13-01", "", ErrDateInvalid},
		{"1980-3/5", "", ErrDateInvalid},
		{"1980--03-05", "", ErrDateInvalid},
		{"yesterday", "", ErrDateInvalid},
		{"T 5 1980", "", ErrDateInvalid},
		{"5 1980 March", "", ErrDateInvalid},
		{"99999999999999999999", "", ErrDateInvalid},
		{"1980-03-05-01", "", ErrDateInvalid},
		{"1980-03-05\xff", "", ErrDateInvalid},
		{"1580-03-05", "", ErrDateInvalid},
		{"2500-03-05", "", ErrDateInvalid},
	} {
		got, err := ParseDate(tc.in)
		if got != tc.want || !errors.Is(err, tc.err) {
			t.Errorf("ParseDate(%q) = %q, %v; want %q, %v", tc.in, got, err, tc.want, tc.err)
		}
	}
}

func TestDatesOptions(t *testing.T) {
	today := time.Date(2025, 6, 15, 12, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		d        Dates
		in, want string
		err      error
	}{
		{Dates{Order: OrderDayMonth}, "03/04/1980", "1980-04-03", nil},
		{Dates{Order: OrderMonthDay}, "03/04/1980", "1980-03-04", nil},
		{Dates{Order: OrderMonthDay}, "25/12/1980", "", ErrDateInvalid},
		{Dates{Order: OrderMonthDay}, "25.12.1980", "1980-12-25", nil},
		{Dates{YearOnly: true}, "1980", "1980-01-01", nil},
		{Dates{YearOnly: true}, "1400", "", ErrDateHijri},
		{Dates{Serial: true}, "29285", "1980-03-05", nil},
		{Dates{Serial: true}, "00060", "", ErrDateInvalid},
		{Dates{Today: today}, "2025-06-16", "2025-06-16", nil},
		{Dates{Today: today}, "2025-06-17", "", ErrDateFuture},
		{Dates{Today: today}, "17.6.2025", "", ErrDateFuture},
	} {
		got, err := tc.d.Parse(tc.in)
		if !errors.Is(err, tc.err) || err == nil && got != tc.want {
			t.Errorf("%+v.Parse(%q) = %q, %v; want %q, %v", tc.d, tc.in, got, err, tc.want, tc.err)
		}
	}
}

func TestMonthNamesAreDistinct(t *testing.T) {
	n := 0
	for _, names := range monthNames {
		n += len(splitNames(names))
	}
	if len(months) != n {
		t.Errorf("%d names, %d distinct", n, len(months))
	}
}

// Every day is read back from every unambiguous way to write it.
func TestDatesRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		day := time.Date(MinBirthYear, 1, 1+rapid.IntRange(0, 109000).Draw(t, "day"), 0, 0, 0, 0, time.UTC)
		want := day.Format(time.DateOnly)
		for _, layout := range []string{time.DateOnly, "2006/1/2", "2.1.2006", "2-Jan-2006", "January 2, 2006", "20060102", time.DateTime, "2006-01-02T15:04:05Z"} {
			if got, err := ParseDate(day.Format(layout)); err != nil || got != want {
				t.Fatalf("%s: %s, %v; want %s", day.Format(layout), got, err, want)
			}
		}
	})
}

func FuzzParseDate(f *testing.F) {
	for _, s := range []string{"1980-03-05", "٥ كانون الثاني ١٩٨٠", "5-Mar-1980", "March 5, 1980 00:00", "03/04/1980", "29285", "1980-03-05T00:00:00Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, d := range []Dates{{}, {Order: OrderDayMonth, YearOnly: true, Serial: true}, {Order: OrderMonthDay}} {
			got, err := d.Parse(s)
			if err == nil && !isDate(got) {
				t.Fatalf("%q read as %q", s, got)
			}
			if err != nil && got != "" {
				t.Fatalf("%q: both a date and an error", s)
			}
		}
	})
}
