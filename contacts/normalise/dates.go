package normalise

// The normalisers of dates read YYYY-MM-DD; anything else is missing. Whether there is such a day is the business of package
// contacts. "Unordered" puts the smaller of month and day first, so that a date whose day and month were taken for each
// other stays the same. "Known" leaves out 1 January, which stands for "I do not know" in half the registers of the world.

// appendDate is "date/1": YYYYMMDD.
func appendDate(dst []byte, value string) []byte {
	if y, m, d, ok := splitDate(value); ok {
		dst = append(append(append(dst, y...), m...), d...)
	}
	return dst
}

// appendDateUnordered is "date-unordered/1".
func appendDateUnordered(dst []byte, value string) []byte {
	if y, m, d, ok := splitDate(value); ok {
		dst = append(append(append(dst, y...), min(m, d)...), max(m, d)...)
	}
	return dst
}

// appendDateKnown is "date-known/1": unordered, and missing if it is 1 January.
func appendDateKnown(dst []byte, value string) []byte {
	if _, m, d, ok := splitDate(value); ok && (m != "01" || d != "01") {
		dst = appendDateUnordered(dst, value)
	}
	return dst
}

// appendMonthDay is "month-day/1": unordered, and missing if it is 1 January; for a year that is off.
func appendMonthDay(dst []byte, value string) []byte {
	if _, m, d, ok := splitDate(value); ok && (m != "01" || d != "01") {
		dst = append(append(dst, min(m, d)...), max(m, d)...)
	}
	return dst
}

// appendYear is "year/1"; for a month or day that is off or not known.
func appendYear(dst []byte, value string) []byte {
	if y, _, _, ok := splitDate(value); ok {
		dst = append(dst, y...)
	}
	return dst
}

// appendYearMonth is "year-month/1"; for a day that is off.
func appendYearMonth(dst []byte, value string) []byte {
	if y, m, _, ok := splitDate(value); ok {
		dst = append(append(dst, y...), m...)
	}
	return dst
}

// appendYearDay is "year-day/1": the year and the day of the month; for a month that is off.
func appendYearDay(dst []byte, value string) []byte {
	if y, _, d, ok := splitDate(value); ok {
		dst = append(append(append(dst, y...), '-'), d...)
	}
	return dst
}

// splitDate cuts YYYY-MM-DD.
func splitDate(s string) (year, month, day string, ok bool) {
	if len(s) != 10 || s[4] != '-' || s[7] != '-' {
		return "", "", "", false
	}
	for i := 0; i < len(s); i++ {
		if i != 4 && i != 7 && (s[i] < '0' || s[i] > '9') {
			return "", "", "", false
		}
	}
	return s[:4], s[5:7], s[8:], true
}
