package lists

import (
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"
)

func TestPermutation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Uint64Range(1, 3000).Draw(t, "n")
		p := newPermutation(n, rapid.Uint64().Draw(t, "key"))
		seen := make([]bool, n)
		for i := range n {
			at := p.at(i)
			if at >= n || seen[at] {
				t.Fatalf("%d goes to %d, outside or taken", i, at)
			}
			seen[at] = true
			if back := p.from(at); back != i {
				t.Fatalf("%d comes back as %d", i, back)
			}
		}
	})
}

func TestWeighted(t *testing.T) {
	r := seeded(1)
	var got [4]int
	for range 10_000 {
		got[r.weighted([]int{0, 1, 3, 0})]++
	}
	if got[0] != 0 || got[3] != 0 || got[1] < 2300 || got[1] > 2700 {
		t.Errorf("weights 0, 1, 3, 0 came out as %v of 10000", got)
	}
}

// The tables are as large as they should be, and well-formed.
func TestTables(t *testing.T) {
	tables, err := loadTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what  string
		table names
		least int
	}{{"male", tables.male, 150}, {"female", tables.female, 150}, {"family", tables.family, 300}, {"towns", tables.towns, 50}} {
		if len(c.table.list) < c.least {
			t.Errorf("%s: %d names are fewer than %d", c.what, len(c.table.list), c.least)
		}
		if len(c.table.slots) != numSlots {
			t.Errorf("%s: %d slots", c.what, len(c.table.slots))
		}
		arabic := make(map[string]bool)
		for i, n := range c.table.list {
			key := n.arabic
			if n.article {
				key = arabicArticle + key
			}
			if arabic[key] {
				t.Errorf("%s: %s stands twice", c.what, key)
			}
			arabic[key] = true
			if strings.ContainsFunc(n.arabic, func(r rune) bool { return r != ' ' && !unicode.Is(unicode.Arabic, r) }) {
				t.Errorf("%s: %q is not in Arabic script", c.what, n.arabic)
			}
			all := make(map[string]bool)
			for _, s := range slices.Concat(n.english, n.french) {
				all[s] = true
				letters := strings.TrimLeftFunc(s, unicode.IsUpper)
				if letters == s || strings.ContainsFunc(s, func(r rune) bool { return !unicode.Is(unicode.Latin, r) && !strings.ContainsRune(" '-", r) }) {
					t.Errorf("%s: %q is not a name in Latin script", c.what, s)
				}
				if strings.HasPrefix(s, "Al ") || strings.HasPrefix(s, "Al-") || strings.HasPrefix(s, "El-") {
					t.Errorf("%s: %q has the article", c.what, s)
				}
			}
			if len(all) > 5 {
				t.Errorf("%s: %s has %d spellings", c.what, n.arabic, len(all))
			}
			for _, list := range [][]string{n.english, n.french} {
				if len(list) != len(slices.Compact(slices.Sorted(slices.Values(list)))) {
					t.Errorf("%s: %s has a spelling twice", c.what, n.arabic)
				}
			}
			if !slices.Contains(c.table.slots, uint16(i)) {
				t.Errorf("%s: %s is never picked", c.what, n.arabic)
			}
		}
	}
}

func TestParseNamesRefused(t *testing.T) {
	for _, text := range []string{"Ali | علي", "Ali | Ali | علي | x", "Ali || علي", " | Ali | علي", "Ali | Ali | "} {
		if _, err := parseNames("# remark\n\n"+text+"\n", false); err == nil || !strings.Contains(err.Error(), "line 3") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// A typing error changes a name in one place and leaves its first letter; a stray space is all that stray adds.
func TestTypo(t *testing.T) {
	for _, name := range []string{"Mohammad", "Abdel-Rahman", "Élias", "محمد", "عبد الرحمن", "Ali", "نور"} {
		changed := 0
		r := seeded(1)
		for range 200 {
			c := clerk{buf: []byte("before|" + name)}
			c.typo(&r, len("before|"))
			got, ok := strings.CutPrefix(string(c.buf), "before|")
			a, b := []rune(name), []rune(got)
			if !ok || a[0] != b[0] || len(b) < len(a)-1 || len(b) > len(a)+1 {
				t.Fatalf("%q became %q", name, c.buf)
			}
			if got != name {
				changed++
			}
			c = clerk{buf: []byte("before|" + name)}
			c.stray(&r, len("before|"))
			if s := string(c.buf); len(s) != len("before|")+len(name)+1 || strings.Join(strings.Fields(s[len("before|"):]), " ") != name {
				t.Fatalf("%q became %q", name, s)
			}
		}
		if short := len([]rune(name)) < 4; short != (changed == 0) {
			t.Errorf("%q was changed %d times", name, changed)
		}
	}
}
