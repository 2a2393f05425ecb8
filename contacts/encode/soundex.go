package encode

import "github.com/mozillazg/go-unidecode/table"

// soundexCode maps A–Z to the digit of its group; 'h' marks the letters that have none (H and W).
const soundexCode = "01230120022455012623010202"

// AppendSoundex appends the original scheme's code of a name, one letter and three digits, e.g. "H550" for Houman.
// A name without a letter that transliterates to A–Z has no code: nothing is appended.
//
// It is the prototype's algorithm, kept exactly, and not quite American Soundex (NARA): the name is transliterated to ASCII
// (Unidecode), put in upper case and reduced to A–Z; every letter is coded, the first included (AEIOUY 0, H and W
// nothing, BFPV 1, CGJKQSXZ 2, DT 3, L 4, MN 5, R 6); the first code is dropped if it is the first letter's own; then runs are squeezed,
// zeros dropped, and the result padded with zeros to three digits. So Lloyd is L430 and Pfister P123.
func AppendSoundex(dst []byte, name string) []byte {
	s := soundex{}
	for _, r := range name {
		if r < 0x80 {
			s.add(byte(r))
			continue
		}
		if r > 0xeffff {
			continue
		}
		section := table.Tables[r>>8]
		if i := int(r & 0xff); i < len(section) {
			t := section[i]
			for j := 0; j < len(t); j++ {
				s.add(t[j])
			}
		}
	}
	if s.first == 0 {
		return dst
	}
	for ; s.n < 3; s.n++ {
		s.digits[s.n] = '0'
	}
	return append(append(dst, s.first), s.digits[:]...)
}

// Soundex gives the code that [AppendSoundex] appends, or "".
func Soundex(name string) string {
	var buf [4]byte
	return string(AppendSoundex(buf[:0], name))
}

// soundex codes a name letter by letter.
type soundex struct {
	first  byte // the first letter, 0 before it
	last   byte // the last code seen, dropped or not
	seen   bool // a code was seen (and perhaps dropped)
	n      int
	digits [3]byte
}

func (s *soundex) add(c byte) {
	if 'a' <= c && c <= 'z' {
		c -= 'a' - 'A'
	}
	if c < 'A' || c > 'Z' {
		return
	}
	code := soundexCode[c-'A']
	silent := c == 'H' || c == 'W'
	if s.first == 0 {
		s.first = c
		// The first letter's own code is dropped before runs are squeezed, so it does not squeeze what follows.
		return
	}
	if silent {
		return
	}
	run := s.seen && code == s.last
	s.seen, s.last = true, code
	if run || code == '0' || s.n == len(s.digits) {
		return
	}
	s.digits[s.n] = code
	s.n++
}
