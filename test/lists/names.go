package lists

import (
	"embed"
	"fmt"
	"strings"
	"sync"
)

//go:embed tables/*.txt
var tableFiles embed.FS

// A name is one name with the ways in which it is written.
type name struct {
	english, french []string // the usual spelling first
	arabic          string   // without the article
	careless        string   // the same as many people type it: no hamza, final ya and ta marbuta simplified
	article         bool     // a family name that usually has the article
	glued           string   // the Arabic without its space, for names of two words; else empty
}

// names is a table and a sampler that favours the names at its top as life does.
type names struct {
	list  []name
	slots []uint16 // indices of list, each as often as it is common
}

const numSlots = 4096

func (n *names) pick(r *rng) uint16 { return n.slots[r.next()>>52] }

type tableSet struct{ male, female, family, towns names }

// loadTables parses the embedded tables once; they are read-only from then on.
var loadTables = sync.OnceValues(func() (*tableSet, error) {
	var t tableSet
	for _, f := range []struct {
		file    string
		into    *names
		flat    int // the larger, the flatter the frequencies
		article bool
	}{
		{"male", &t.male, 6, false},
		{"female", &t.female, 10, false},
		{"family", &t.family, 40, true},
		{"towns", &t.towns, 5, false},
	} {
		text, err := tableFiles.ReadFile("tables/" + f.file + ".txt")
		if err != nil {
			return nil, err
		}
		list, err := parseNames(string(text), f.article)
		if err != nil {
			return nil, fmt.Errorf("tables/%s.txt: %w", f.file, err)
		}
		*f.into = newNames(list, f.flat)
	}
	return &t, nil
})

// parseNames reads lines of "English, spellings | French, spellings | Arabic"; lines that begin with # are remarks.
func parseNames(text string, article bool) ([]name, error) {
	var list []name
	line := 0
	for s := range strings.Lines(text) {
		line++
		s = strings.TrimSpace(s)
		if s == "" || s[0] == '#' {
			continue
		}
		parts := strings.Split(s, "|")
		if len(parts) != 3 {
			return nil, fmt.Errorf("line %d: %d parts instead of 3", line, len(parts))
		}
		n := name{english: spellings(parts[0]), french: spellings(parts[1]), arabic: strings.TrimSpace(parts[2])}
		if len(n.english) == 0 || len(n.french) == 0 || n.arabic == "" {
			return nil, fmt.Errorf("line %d: an empty part", line)
		}
		if article {
			n.arabic, n.article = strings.CutPrefix(n.arabic, arabicArticle)
		}
		n.careless = careless(n.arabic)
		if strings.Contains(n.arabic, " ") {
			n.glued = strings.ReplaceAll(n.arabic, " ", "")
		}
		list = append(list, n)
	}
	return list, nil
}

const arabicArticle = "ال"

func spellings(s string) []string {
	var out []string
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			out = append(out, part)
		}
	}
	return out
}

var carelessLetters = strings.NewReplacer("أ", "ا", "إ", "ا", "آ", "ا", "ى", "ي")

func careless(s string) string {
	s = carelessLetters.Replace(s)
	if t, ok := strings.CutSuffix(s, "ة"); ok {
		s = t + "ه"
	}
	return s
}

// newNames gives the name of rank i a frequency in proportion to 1/(i+flat), in integers so that it is the same everywhere.
func newNames(list []name, flat int) names {
	n := names{list: list, slots: make([]uint16, 0, numSlots)}
	var total, sum uint64
	for i := range list {
		total += (1 << 32) / uint64(i+flat)
	}
	for i := range list {
		sum += (1 << 32) / uint64(i+flat)
		for uint64(len(n.slots)) < sum*numSlots/total {
			n.slots = append(n.slots, uint16(i))
		}
	}
	return n
}
