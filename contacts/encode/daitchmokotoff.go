package encode

import (
	_ "embed"
	"slices"
	"strings"
)

//go:embed daitch-mokotoff.tsv
var daitchMokotoffTable string

// dmRule is a row of the chart: the codes of a spelling at the start of a name, before a vowel, and elsewhere.
type dmRule struct{ spelling, start, vowel, other string }

// daitchMokotoff has the rules by first letter, the longest first.
var daitchMokotoff = func() (m [26][]dmRule) {
	for line := range strings.Lines(daitchMokotoffTable) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" || line[0] == '#' {
			continue
		}
		f := strings.Split(line, "\t")
		for i := range f {
			if f[i] == "-" {
				f[i] = ""
			}
		}
		m[f[0][0]-'a'] = append(m[f[0][0]-'a'], dmRule{f[0], f[1], f[2], f[3]})
	}
	for _, rules := range m {
		slices.SortStableFunc(rules, func(a, b dmRule) int { return len(b.spelling) - len(a.spelling) })
	}
	return m
}()

// dmDigits is the length of a Daitch–Mokotoff code.
const dmDigits = 6

// appendDaitchMokotoff is the Daitch–Mokotoff Soundex (Avotaynu, 1985) of the letters a–z of a name. The chart gives some
// spellings two codes; a match key has room for one, which is the first of the chart.
func appendDaitchMokotoff(dst []byte, value string) []byte {
	var buf [maxLetters]byte
	letters := string(appendLetters(buf[:0], value, maxLetters))
	if letters == "" {
		return dst
	}
	start := len(dst)
	last := ""
	for i := 0; i < len(letters); {
		n, code := 1, ""
		for _, r := range daitchMokotoff[letters[i]-'a'] {
			if !strings.HasPrefix(letters[i:], r.spelling) {
				continue
			}
			n = len(r.spelling)
			switch {
			case i == 0:
				code = r.start
			case i+n < len(letters) && strings.IndexByte("aeiou", letters[i+n]) >= 0:
				code = r.vowel
			default:
				code = r.other
			}
			break
		}
		if code != last {
			dst = append(dst, code...)
		}
		last = code
		i += n
	}
	dst = dst[:min(len(dst), start+dmDigits)]
	for len(dst) < start+dmDigits {
		dst = append(dst, '0')
	}
	return dst
}
