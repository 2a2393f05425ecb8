package normalise

import (
	"strconv"
	"unicode"

	"github.com/nyaruka/phonenumbers"
)

// maxNumber bounds a phone number or identifier that is looked at, in bytes.
const maxNumber = 400

// appendPhone is "phone/1": a phone number in E.164, if it is written with its country, by "+" or "00", and can be one. Numbers
// without a country are missing: one number can be two people's in two countries. See "phone-end/1".
func appendPhone(dst []byte, value string) []byte {
	number, international := phoneDigits(value)
	if !international {
		return dst
	}
	n, err := phonenumbers.Parse("+"+number, "")
	if err != nil || !phonenumbers.IsPossibleNumber(n) {
		return dst
	}
	return append(dst, phonenumbers.Format(n, phonenumbers.E164)...)
}

// phoneEnd is how many digits "phone-end/1" keeps: as many as a mobile number has behind its network's code nearly everywhere.
const phoneEnd = 8

// appendPhoneEnd is "phone-end/1": the last eight digits of a phone number, so that +963 944 555 100 and 0944 555100 are one.
// Shorter numbers are missing.
func appendPhoneEnd(dst []byte, value string) []byte {
	number, _ := phoneDigits(value)
	if len(number) < phoneEnd {
		return dst
	}
	return append(dst, number[len(number)-phoneEnd:]...)
}

// phoneDigits gives the digits of a number, in ASCII, up to an extension, without the "00" that stands for "+"; and
// whether it is written with its country.
func phoneDigits(value string) (string, bool) {
	if len(value) > maxNumber {
		return "", false
	}
	var digits []byte
	plus := false
	for _, r := range value {
		switch d, ok := digit(r); {
		case ok:
			digits = append(digits, '0'+d)
		case (r == '+' || r == '＋') && len(digits) == 0:
			plus = true
		case unicode.IsLetter(r) || r == '#' || r == '/' || r == ';':
			// An extension, or a second number.
			if len(digits) > 0 {
				return cutCountry(digits, plus)
			}
		}
	}
	return cutCountry(digits, plus)
}

func cutCountry(digits []byte, plus bool) (string, bool) {
	if !plus && len(digits) > 4 && digits[0] == '0' && digits[1] == '0' {
		return string(digits[2:]), true
	}
	return string(digits), plus
}

// minID is the shortest identifier that can be a person's own: shorter ones are row numbers, or "no".
const minID = 5

// appendID is "id/1": an identifier's digits and Latin letters, in upper case and ASCII. Those with fewer than five
// characters, with fewer than three digits, or of one digit throughout are missing: nobody's number is 00000000.
func appendID(dst []byte, value string) []byte {
	if len(value) > maxNumber {
		return dst
	}
	start := len(dst)
	digits, same := 0, true
	for _, r := range value {
		c := byte(0)
		if d, ok := digit(r); ok {
			c = '0' + d
			digits++
		} else if r < unicode.MaxASCII && unicode.IsLetter(r) {
			c = byte(unicode.ToUpper(r))
		} else if unicode.IsLetter(r) {
			c = 'x' // of another script: told from Latin by its case
			dst = strconv.AppendInt(dst, int64(r), 36)
		} else {
			continue
		}
		same = same && (len(dst) == start || c == dst[start])
		dst = append(dst, c)
	}
	if len(dst)-start < minID || digits < 3 || same {
		return dst[:start]
	}
	return dst
}

// digit reads ASCII, Arabic-Indic and Persian digits.
func digit(r rune) (byte, bool) {
	switch {
	case '0' <= r && r <= '9':
		return byte(r - '0'), true
	case '٠' <= r && r <= '٩':
		return byte(r - '٠'), true
	case '۰' <= r && r <= '۹':
		return byte(r - '۰'), true
	}
	return 0, false
}
