package normalise

import (
	"bytes"
	_ "embed"
	"unicode/utf8"
)

//go:embed tables/cyrillic-letters.tsv
var cyrillicLettersTable string

//go:embed tables/cyrillic-script.tsv
var cyrillicScriptTable string

//go:embed tables/cyrillic-latin.tsv
var cyrillicLatinTable string

var cyrillicFolder = mustFolder(cyrillicLettersTable, func(r rune) bool {
	return 'а' <= r && r <= 'я' || r == 'ё' || r == 'є' || r == 'і' || r == 'ї' || r == 'ґ' || r == 'ў'
})

var cyrillicScript = mustRules(cyrillicScriptTable)
var cyrillicLatin = mustRules(cyrillicLatinTable)

func appendCyrillic(dst []byte, value string) []byte {
	var buf [256]byte
	text := cyrillicFolder.append(buf[:0], value)
	start := len(dst)
	for words := 0; len(text) > 0 && words < maxWords; words++ {
		word, rest, _ := bytes.Cut(text, []byte{' '})
		text = rest
		dst = appendSpace(dst, start)
		if word[0] < utf8.RuneSelf {
			dst = cyrillicLatin.append(dst, string(word))
		} else {
			dst = cyrillicScript.append(dst, string(word))
		}
	}
	return dst
}
