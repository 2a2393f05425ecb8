package dataintegrity

import (
	"errors"
	"time"
)

// ErrTime is the error of ParseTime.
var ErrTime = errors.New("is not a date and time with a time zone, such as 2026-01-31T12:00:00Z")

// ParseTime reads an XML Schema 1.1 dateTimeStamp (part 2 section 3.4.28): seconds and a time zone
// are required, 24:00:00 is the midnight that follows, years have four digits.
func ParseTime(s string) (time.Time, error) {
	// 2006-01-02T15:04:05 then fraction then zone
	if len(s) < 20 || len(s) > 40 || s[4] != '-' || s[7] != '-' || s[10] != 'T' || s[13] != ':' || s[16] != ':' {
		return time.Time{}, ErrTime
	}
	ok := true
	num := func(from, to int) int {
		n := 0
		for _, c := range []byte(s[from:to]) {
			if c < '0' || c > '9' {
				ok = false
			}
			n = n*10 + int(c-'0')
		}
		return n
	}
	year, month, day := num(0, 4), num(5, 7), num(8, 10)
	hour, minute, second := num(11, 13), num(14, 16), num(17, 19)
	i, nanos, scale := 19, 0, 100_000_000
	if s[i] == '.' {
		for i++; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			nanos += int(s[i]-'0') * scale
			scale /= 10
		}
		if i == 20 {
			return time.Time{}, ErrTime
		}
	}
	offset := 0
	switch zone := s[i:]; {
	case zone == "Z":
	case len(zone) == 6 && (zone[0] == '+' || zone[0] == '-') && zone[3] == ':':
		h, m := num(i+1, i+3), num(i+4, i+6)
		if m > 59 || h > 14 || h == 14 && m != 0 {
			ok = false
		}
		offset = (h*60 + m) * 60
		if zone[0] == '-' {
			offset = -offset
		}
	default:
		ok = false
	}
	if hour == 24 && (minute != 0 || second != 0 || nanos != 0) || hour > 24 || minute > 59 || second > 59 ||
		month < 1 || month > 12 || day < 1 {
		ok = false
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, time.UTC)
	if hour < 24 && t.Day() != day { // 30 February
		ok = false
	}
	if hour == 24 && t.AddDate(0, 0, -1).Day() != day {
		ok = false
	}
	if !ok {
		return time.Time{}, ErrTime
	}
	return t.Add(-time.Duration(offset) * time.Second), nil
}

// FormatTime writes a moment as the documents here carry it: UTC, whole seconds, with Z.
func FormatTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
