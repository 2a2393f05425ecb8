package normalise

import (
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestNumbersAndDates(t *testing.T) {
	for _, tc := range []struct{ normaliser, in, want string }{
		{"date/1", "1980-03-05", "19800305"},
		{"date/1", "1980-3-5", ""},
		{"date/1", "", ""},
		{"date-unordered/1", "1980-12-05", "19800512"},
		{"date-unordered/1", "1980-05-12", "19800512"},
		{"date-known/1", "1980-05-12", "19800512"},
		{"date-known/1", "1980-01-01", ""},
		{"month-day/1", "1980-12-05", "0512"},
		{"month-day/1", "1980-01-01", ""},
		{"year/1", "1980-01-01", "1980"},
		{"year-month/1", "1980-12-05", "198012"},
		{"year-day/1", "1980-12-05", "1980-05"},
		{"phone/1", "+963 944 555 100", "+963944555100"},
		{"phone/1", "00963-944-555100", "+963944555100"},
		{"phone/1", "٠٠٩٦٣٩٤٤٥٥٥١٠٠", "+963944555100"},
		{"phone/1", "0944 555 100", ""},
		{"phone/1", "+1", ""},
		{"phone/1", "+99999999999999999999", ""},
		{"phone-end/1", "+963 944 555 100", "44555100"},
		{"phone-end/1", "0944555100 ext. 12", "44555100"},
		{"phone-end/1", "0944555100 / 0933000000", "44555100"},
		{"phone-end/1", "112", ""},
		{"id/1", " 010-2030/4050 ", "01020304050"},
		{"id/1", "ab-12 345", "AB12345"},
		{"id/1", "٠١٠٢٠٣٠", "0102030"},
		{"id/1", "000000000", ""},
		{"id/1", "none", ""},
		{"id/1", "N/A", ""},
		{"id/1", "1234", ""},
		{"latin/1", "  Ñúñez-O'Brien, Ørsted ", "nunez obrien orsted"},
		{"latin/1", "Straße", "strasse"},
		{"latin/1", "王", "wang"},
		{"latin/1", "123", ""},
	} {
		f, ok := Lookup(tc.normaliser)
		if !ok {
			t.Fatalf("no %s", tc.normaliser)
		}
		if got := string(f([]byte("x"), tc.in)); got != "x"+tc.want {
			t.Errorf("%s of %q is %q, want %q", tc.normaliser, tc.in, got[1:], tc.want)
		}
	}
}

func TestCyrillicSpellingsMeet(t *testing.T) {
	f, _ := Lookup("cyrillic/1")
	for _, tc := range []struct {
		names string
		want  string
	}{
		{"Шевченко|Shevchenko|Chevtchenko", "XaVXaNKu"},
		{"Олена|Olena", "ALaNa"},
		{"Микола|Mykola", "MiKuLa"},
		{"Мельник|Melnyk|Mel'nyk", "MaLNiK"},
		{"Щербак|Shcherbak", "XaRBaK"},
		{"Харченко|Kharchenko", "HaRXaNKu"},
		{"Зоя|Zoya|Zoia", ""},
	} {
		names := strings.Split(tc.names, "|")
		for _, n := range names {
			got := string(f(nil, n))
			if tc.want != "" && got != tc.want {
				t.Errorf("%s is %s, want %s", n, got, tc.want)
			}
			if got == "" {
				t.Errorf("%s is nothing", n)
			}
		}
	}
}

// Whatever the text: no panic, what was there before stays, bounded length, and words with one space between.
func TestNormalisersHoldTheirPromise(t *testing.T) {
	for _, name := range Names() {
		f, _ := Lookup(name)
		rapid.Check(t, func(t *rapid.T) {
			in := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z' -]{0,30}`), rapid.StringOf(rapid.RuneFrom([]rune("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإآءًّ -abdulel'")))).Draw(t, "in")
			out := string(f([]byte("before"), in))
			rest, ok := strings.CutPrefix(out, "before")
			if !ok {
				t.Fatalf("%s lost what was before: %q", name, out)
			}
			if again := string(f(nil, in)); again != rest {
				t.Fatalf("%s of %q is %q, and %q elsewhere", name, in, again, rest)
			}
			if name == "none/1" {
				return
			}
			if strings.Contains(rest, "  ") || strings.TrimSpace(rest) != rest {
				t.Fatalf("%s of %q has stray spaces: %q", name, in, rest)
			}
			for i := 0; i < len(rest); i++ {
				if rest[i] >= 0x80 {
					t.Fatalf("%s of %q is not ASCII: %q", name, in, rest)
				}
			}
		})
	}
}

func TestNormalisersAreBounded(t *testing.T) {
	for _, name := range Names() {
		f, _ := Lookup(name)
		for _, in := range []string{strings.Repeat("ا", 100_000), strings.Repeat("al ", 50_000), strings.Repeat("9", 100_000), strings.Repeat("\u0651", 100_000)} {
			f(nil, in)
		}
	}
}

func FuzzNormalisers(f *testing.F) {
	for _, s := range []string{"Abd al-Rahman", "عبد الرحمن", "بن علي", "al", "ال", "+963 944 555 100", "Олександр", "1980-01-01", "\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		for _, name := range Names() {
			n, _ := Lookup(name)
			n(nil, s)
		}
	})
}
