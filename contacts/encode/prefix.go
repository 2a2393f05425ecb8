package encode

import "slices"

// maxLetters bounds the letters of a name that are coded.
const maxLetters = 64

// appendLetters appends the letters a–z of a value, without spaces, up to a limit.
func appendLetters(dst []byte, value string, limit int) []byte {
	n := 0
	for i := 0; i < len(value) && n < limit; i++ {
		if c := value[i]; 'a' <= c && c <= 'z' {
			dst = append(dst, c)
			n++
		}
	}
	return dst
}

// prefix codes a name by its first n letters, or all if there are fewer.
func prefix(n int) Func {
	return func(dst []byte, value string) []byte { return appendLetters(dst, value, n) }
}

// appendSorted codes a name by its letters in the order of the alphabet: two letters changed about, and two names changed about, keep
// the code.
func appendSorted(dst []byte, value string) []byte {
	start := len(dst)
	dst = appendLetters(dst, value, maxLetters)
	slices.Sort(dst[start:])
	return dst
}
