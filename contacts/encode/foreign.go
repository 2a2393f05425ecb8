package encode

import (
	"strings"

	"github.com/antzucaro/matchr"
)

// appendDoubleMetaphone is Lawrence Philips' Double Metaphone (C/C++ Users Journal, June 2000), its primary code, of the letters
// a–z of a name.
func appendDoubleMetaphone(dst []byte, value string) []byte {
	code, _ := matchr.DoubleMetaphone(string(appendLetters(nil, value, maxLetters)))
	return appendText(dst, code)
}

// appendNYSIIS is the code of the New York State Identification and Intelligence System (Taft, 1970), of the letters a–z of a
// name. It is not cut to six letters.
func appendNYSIIS(dst []byte, value string) []byte {
	letters := string(appendLetters(nil, value, maxLetters))
	if letters == "" {
		return dst
	}
	return appendText(dst, matchr.NYSIIS(strings.ToUpper(letters)))
}
