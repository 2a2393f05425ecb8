package quality

import (
	_ "embed"
	"fmt"
	"strings"

	"ihyid/test/lists"
)

//go:embed tables/cyrillic.txt
var cyrillicTable string

// LevantNames are the names of package lists.
func LevantNames() (Names, error) {
	female, male, family, err := lists.Spellings()
	if err != nil {
		return Names{}, err
	}
	of := func(list []lists.Spelling) (out []Name) {
		for _, s := range list {
			out = append(out, Name{s.Arabic, s.Latin})
		}
		return out
	}
	return Names{Female: of(female), Male: of(male), Family: of(family)}, nil
}

// FewNames keeps the commonest names: a place where every second man is called after the same ten.
func FewNames(n Names) Names {
	return Names{Female: n.Female[:min(60, len(n.Female))], Male: n.Male[:min(60, len(n.Male))], Family: n.Family[:min(200, len(n.Family))]}
}

// CyrillicNames are Ukrainian and Russian names, written for this project from general knowledge.
func CyrillicNames() (Names, error) {
	var n Names
	into := &n.Female
	for line := range strings.Lines(cyrillicTable) {
		switch line = strings.TrimSpace(line); {
		case line == "" || line[0] == '#':
		case line == "[female]":
			into = &n.Female
		case line == "[male]":
			into = &n.Male
		case line == "[family]":
			into = &n.Family
		default:
			script, latin, ok := strings.Cut(line, "|")
			if !ok {
				return n, fmt.Errorf("quality: the table of Cyrillic names has a line without two parts")
			}
			name := Name{Native: strings.TrimSpace(script)}
			for s := range strings.SplitSeq(latin, ",") {
				name.Latin = append(name.Latin, strings.TrimSpace(s))
			}
			*into = append(*into, name)
		}
	}
	return n, nil
}
