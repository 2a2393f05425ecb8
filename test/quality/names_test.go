package quality

import "testing"

func code(t testing.TB, normaliser, encoder string) func(string) string {
	t.Helper()
	c, ok := Code(normaliser, encoder)
	if !ok {
		t.Fatalf("no %s or %s", normaliser, encoder)
	}
	return c
}

func TestArabicNames(t *testing.T) {
	skeleton := code(t, "arabic/1", "arabic-skeleton/1")
	check := func(what string, names []Name, latin, scripts float64) {
		s := MeasureSpelling(names, skeleton)
		t.Logf("%-22s Latin spellings agree %.3f, scripts agree %.3f, different names collide %.2f ‰", what, s.Latin, s.Scripts, 1000*s.Collide)
		atLeast(t, what+", Latin spellings", s.Latin, latin)
		atLeast(t, what+", both scripts", s.Scripts, scripts)
		atLeast(t, what+", different names apart", 1-s.Collide, .998)
	}
	own := need[Names](t)(LevantNames())
	check("own given names", append(own.Female, own.Male...), .98, .985)
	check("own family names", own.Family, .97, .98)
	data := need[Names](t)(DataNames())
	check("given names", append(data.Female, data.Male...), .97, .98)
	check("family names", data.Family, .84, .85)
}

func TestCyrillicNames(t *testing.T) {
	own := need[Names](t)(CyrillicNames())
	s := MeasureSpelling(append(append(own.Female, own.Male...), own.Family...), code(t, "cyrillic/1", "slavic-skeleton/1"))
	t.Logf("own names: Latin spellings agree %.3f, scripts agree %.3f, different names collide %.2f ‰", s.Latin, s.Scripts, 1000*s.Collide)
	atLeast(t, "own names, both scripts", s.Scripts, .95)
	pairs := need[[]NamePair](t)(DataCyrillic())
	names, people, collide := MeasurePairs(pairs, code(t, "cyrillic/1", "slavic-skeleton/1"))
	t.Logf("Latin and Cyrillic agree %.4f of names, %.4f of people; different names collide %.2f ‰", names, people, 1000*collide)
	atLeast(t, "names", names, .85)
	atLeast(t, "people", people, .92)
}
