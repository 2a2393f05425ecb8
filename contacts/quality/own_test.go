package quality

import (
	"os"
	"strings"
	"testing"
)

// ownNames are the names that the project itself has, from the test data of package normalise: enough to see that
// matching still works where the measuring data is absent.
func ownNames(t testing.TB) Names {
	t.Helper()
	text, err := os.ReadFile("../normalise/testdata/arabic-names.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names Names
	i := 0
	for line := range strings.Lines(string(text)) {
		if line[0] == '#' {
			continue
		}
		n := Name{}
		for _, s := range strings.Split(strings.TrimSpace(line), "|") {
			switch {
			case s[0] < 0x80:
				n.Latin = append(n.Latin, s)
			case n.Arabic == "":
				n.Arabic = s
			}
		}
		// The last letter of women's names is most often a ta marbuta or alef; which are whose matters little here.
		switch i++; {
		case strings.HasPrefix(n.Arabic, "ال"):
			names.Family = append(names.Family, n)
		case i%2 == 0:
			names.Female = append(names.Female, n)
		default:
			names.Male = append(names.Male, n)
		}
		// Families are named after men.
		names.Family = append(names.Family, n)
	}
	return names
}

func TestLevantOwnNames(t *testing.T) {
	s := Simulate(ownNames(t), 10_000, 5)
	e := evaluate(t, "levant/1", lists{s.A, s.B, s.Truth})
	log(t, "simulated, own names", "levant/1", len(s.A), e)
	atLeast(t, "match recall", e.Match.Recall, .92)
	atLeast(t, "match precision", e.Match.Precision, .985)
	atLeast(t, "review recall", e.Review.Recall, .97)
}
