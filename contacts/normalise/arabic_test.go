package normalise_test

import (
	"os"
	"strings"
	"testing"

	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

func code(t testing.TB, normaliser, encoder, name string) string {
	t.Helper()
	n, ok1 := normalise.Lookup(normaliser)
	e, ok2 := encode.Lookup(encoder)
	if !ok1 || !ok2 {
		t.Fatalf("no %s or %s", normaliser, encoder)
	}
	return string(e(nil, string(n(nil, name))))
}

// All spellings of a name, in either script, meet in one code.
func TestArabicSpellingsMeet(t *testing.T) {
	text, err := os.ReadFile("testdata/arabic-names.txt")
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]string{}
	names := 0
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line[0] == '#' {
			continue
		}
		spellings := strings.Split(line, "|")
		want := code(t, "arabic/1", "arabic-skeleton/1", spellings[0])
		if want == "" {
			t.Errorf("%s has no code", spellings[0])
		}
		for _, s := range spellings[1:] {
			names++
			if got := code(t, "arabic/1", "arabic-skeleton/1", s); got != want {
				t.Errorf("%s is %s, but %s is %s", spellings[0], want, s, got)
			}
		}
		codes[want] = spellings[0]
	}
	if names < 300 {
		t.Errorf("only %d spellings", names)
	}
}

// Names that brothers and sisters bear stay apart.
func TestArabicNamesStayApart(t *testing.T) {
	for _, pair := range [][2]string{
		{"Hassan", "Hussein"}, {"حسن", "حسين"}, {"Muhammad", "Mahmoud"}, {"Muhammad", "Ahmad"}, {"Amin", "Amina"}, {"Ayman", "Amin"},
		{"Iman", "Amin"}, {"Jamal", "Jamil"}, {"Karim", "Karam"}, {"Ali", "Ola"}, {"Nour", "Noura"}, {"Hasan", "Hasani"}, {"Omar", "Amr"},
		{"Salman", "Sulaiman"}, {"Ahmad", "Hamad"}, {"Ziad", "Dawood"}, {"Rashid", "Rashad"}, {"Abdullah", "Abdulaziz"},
	} {
		x, y := code(t, "arabic/1", "arabic-skeleton/1", pair[0]), code(t, "arabic/1", "arabic-skeleton/1", pair[1])
		if x == y {
			t.Errorf("%s and %s are both %s", pair[0], pair[1], x)
		}
	}
}

func TestArabicLetters(t *testing.T) {
	same := func(names ...string) {
		t.Helper()
		want := code(t, "arabic/1", "arabic-skeleton/1", names[0])
		for _, n := range names[1:] {
			if got := code(t, "arabic/1", "arabic-skeleton/1", n); got != want || got == "" {
				t.Errorf("%+q is %s, but %+q is %s", names[0], want, n, got)
			}
		}
	}
	same("محمد", "مُحَمَّد", "مـحـمـد", "ﻣﺤﻤﺪ", "م‌حمد") // vowel signs, tatweel, presentation forms, non-joiner
	same("أحمد", "احمد", "آحمد", "إحمد", "ٱحمد")         // forms of alef
	same("فاطمة", "فاطمه", "فاطمۃ")                      // ta marbuta
	same("علي", "على", "علی", "علے")                     // ya, alef maqsura, Persian, Urdu
	same("كريم", "کریم")                                 // kaf
	same("Ḥasan", "Hasan", "حسن", "Хасан")               // scholars' marks, Cyrillic
	same("Nūr al-Dīn", "نور الدین")                      //
	same("Mehmûd", "محمود")                              //
	same("Shādī", "Şadi", "شادي", "Chadi")               //
}
