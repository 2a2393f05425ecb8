package quality

import (
	"bufio"
	"os"
	"strings"
	"testing"

	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

// coder chains a normaliser and an encoder.
func coder(t testing.TB, normaliser, encoder string) func(string) string {
	t.Helper()
	n, ok1 := normalise.Lookup(normaliser)
	e, ok2 := encode.Lookup(encoder)
	if !ok1 || !ok2 {
		t.Fatalf("no %s or %s", normaliser, encoder)
	}
	return func(s string) string { return string(e(nil, string(n(nil, s)))) }
}

// spelling is how well a code brings the spellings of names together.
type spelling struct {
	latin   float64 // share of pairs of Latin spellings of one name that agree
	scripts float64 // share of Latin spellings that agree with Arabic script
	collide float64 // share of pairs of different names, in Latin spelling, that agree
}

func measureSpelling(rows []nameRow, code func(string) string) spelling {
	var s spelling
	var latin, scripts float64
	byCode := map[string]map[int]float64{}
	for i, r := range rows {
		arabic := code(r.arabic)
		var codes []string
		for _, l := range r.latin {
			c := code(l)
			scripts++
			if c == arabic {
				s.scripts++
			}
			for _, other := range codes {
				latin++
				if c == other {
					s.latin++
				}
			}
			codes = append(codes, c)
			if byCode[c] == nil {
				byCode[c] = map[int]float64{}
			}
			byCode[c][i] += 1 / float64(len(r.latin))
		}
	}
	s.latin /= latin
	s.scripts /= scripts
	for _, names := range byCode {
		sum, squares := 0.0, 0.0
		for _, v := range names {
			sum += v
			squares += v * v
		}
		s.collide += sum*sum - squares
	}
	s.collide /= float64(len(rows)) * float64(len(rows)-1)
	return s
}

func TestArabicNames(t *testing.T) {
	given := readNames(t, "given_male.tsv", "given_female.tsv")
	family := readNames(t, "family_aliases.tsv")
	show := func(what string, rows []nameRow, name string, code func(string) string) spelling {
		s := measureSpelling(rows, code)
		t.Logf("%-12s %-18s Latin spellings agree %.3f, scripts agree %.3f, different names collide %.2f ‰", what, name, s.latin, s.scripts, 1000*s.collide)
		return s
	}
	show("given names", given, "soundex/1", encode.Soundex)
	show("family names", family, "soundex/1", encode.Soundex)
	skeleton := coder(t, "arabic/1", "arabic-skeleton/1")
	s := show("given names", given, "arabic-skeleton/1", skeleton)
	atLeast(t, "Latin spellings of given names", s.latin, .97)
	atLeast(t, "given names in both scripts", s.scripts, .98)
	atLeast(t, "different given names apart", 1-s.collide, .998)
	f := show("family names", family, "arabic-skeleton/1", skeleton)
	atLeast(t, "Latin spellings of family names", f.latin, .84)
	atLeast(t, "different family names apart", 1-f.collide, .998)
}

func TestCyrillicNames(t *testing.T) {
	f, err := os.Open(sharedData(t, "pairs", "wikidata_russian.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	type pair struct {
		latin, cyrillic string
		count           float64
	}
	var pairs []pair
	for s := bufio.NewScanner(f); s.Scan(); {
		c := strings.Split(s.Text(), "\t")
		n := 0
		for _, d := range c[2] {
			n = n*10 + int(d-'0')
		}
		pairs = append(pairs, pair{c[0], strings.ReplaceAll(c[1], " ", ""), float64(n)})
	}
	for _, c := range []struct{ name, normaliser, encoder string }{
		{"soundex/1", "none/1", "soundex/1"},
		{"daitch-mokotoff/1", "latin/1", "daitch-mokotoff/1"},
		{"slavic-skeleton/1", "cyrillic/1", "slavic-skeleton/1"},
	} {
		code := coder(t, c.normaliser, c.encoder)
		var agree, people, all float64
		byCode := map[string]float64{}
		seen := map[string]bool{}
		for _, p := range pairs {
			x := code(p.cyrillic)
			all += p.count
			if code(p.latin) == x {
				agree++
				people += p.count
			}
			if !seen[p.cyrillic] {
				seen[p.cyrillic] = true
				byCode[x]++
			}
		}
		collide := 0.0
		for _, n := range byCode {
			collide += n * (n - 1)
		}
		n := float64(len(seen))
		agree, people = agree/float64(len(pairs)), people/all
		t.Logf("%-18s Latin and Cyrillic agree %.3f of names, %.3f of people; different names collide %.2f ‰", c.name, agree, people, 1000*collide/(n*(n-1)))
		if c.name == "slavic-skeleton/1" {
			atLeast(t, "names", agree, .82)
			atLeast(t, "people", people, .88)
		}
	}
}
