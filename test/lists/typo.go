package lists

import (
	"slices"
	"strings"
)

// keysBeside are the neighbours of a letter on the keyboard; dotsBeside are letters that differ in their dots.
var (
	keysBeside = [26]string{"sqz", "vnh", "xvd", "sfe", "wrd", "dgr", "fht", "gjy", "uok", "hku", "jli", "k",
		"n", "mb", "ipl", "o", "wa", "etf", "adw", "ryg", "yij", "cb", "qes", "zcs", "tuh", "xa"}
	dotsBeside = strings.NewReplacer("ب", "ت", "ت", "ن", "ن", "ب", "ث", "ت", "ح", "ج", "ج", "خ", "خ", "ح", "د", "ذ", "ذ", "د", "ر", "ز",
		"ز", "ر", "س", "ش", "ش", "س", "ص", "ض", "ض", "ص", "ط", "ظ", "ع", "غ", "غ", "ع", "ف", "ق", "ق", "ف")
)

// typo makes one typing error in what the buffer holds from start on: a letter missing, doubled, exchanged with the next, or another.
// The first letter and names of three letters are left alone.
func (c *clerk) typo(r *rng, start int) {
	c.runes = c.runes[:0]
	for _, letter := range string(c.buf[start:]) {
		c.runes = append(c.runes, letter)
	}
	if len(c.runes) < 4 {
		return
	}
	at := r.between(1, len(c.runes)-2)
	switch r.below(4) {
	case 0:
		c.runes = slices.Delete(c.runes, at, at+1)
	case 1:
		c.runes = slices.Insert(c.runes, at, c.runes[at])
	case 2:
		c.runes[at], c.runes[at+1] = c.runes[at+1], c.runes[at]
	default:
		letter := c.runes[at]
		if 'a' <= letter && letter <= 'z' {
			keys := keysBeside[letter-'a']
			c.runes[at] = rune(keys[r.below(len(keys))])
		} else {
			c.runes[at] = []rune(dotsBeside.Replace(string(letter)))[0]
		}
	}
	c.buf = append(c.buf[:start], string(c.runes)...)
}

// stray puts a needless space before, after or between the words of a name.
func (c *clerk) stray(r *rng, start int) {
	at := len(c.buf)
	for i := start; i < len(c.buf); i++ {
		if c.buf[i] == ' ' {
			at = i
		}
	}
	if r.chance(.3) {
		at = start
	}
	c.buf = slices.Insert(c.buf, at, ' ')
}
