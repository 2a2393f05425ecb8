package contacts

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode"

	"golang.org/x/text/unicode/norm"
	"pgregory.net/rapid"
)

func TestValidate(t *testing.T) {
	long := strings.Repeat("ع", MaxNameRunes)
	for _, tc := range []struct {
		name   string
		c      Contact
		field  string // "" if valid
		reason string
	}{
		{"plain", Contact{FirstName: "Houman", LastName: "Haddad", DateOfBirth: "1976-05-07"}, "", ""},
		{"last name only", Contact{LastName: "حداد"}, "", ""},
		{"nobody", Contact{MotherFirstName: "Barbara"}, "first_name", "a contact needs a first or a last name"},
		{"at the bound", Contact{FirstName: long}, "", ""},
		{"over the bound", Contact{FirstName: long + "a"}, "first_name", "is longer than 200 characters"},
		{"10,000 characters", Contact{FirstName: strings.Repeat("x", 10000)}, "first_name", "is longer than 200 characters"},
		{"only digits", Contact{FirstName: "12345"}, "first_name", "has no letter"},
		{"emoji", Contact{FirstName: "😀"}, "first_name", "has no letter"},
		{"name and emoji", Contact{FirstName: "Nur 😀"}, "", ""},
		{"bidi override", Contact{FirstName: "Nur\u202edaddaH"}, "first_name", "holds a control character"},
		{"line break", Contact{FirstName: "Nur\nX"}, "first_name", "holds a control character"},
		{"NUL", Contact{FirstName: "Nur", Location: "a\x00"}, "location", "holds a control character"},
		{"C1", Contact{FirstName: "Nur\u0085"}, "first_name", "holds a control character"},
		{"not UTF-8", Contact{FirstName: "Nur\xff"}, "first_name", "is not valid UTF-8"},
		{"replacement character", Contact{FirstName: "Nur\ufffd"}, "", ""},
		{"non-joiner", Contact{FirstName: "علی\u200cرضا"}, "", ""},
		{"no date", Contact{FirstName: "Nur", DateOfBirth: "0000-00-00"}, "date_of_birth", "is not a date of the form YYYY-MM-DD"},
		{"31 February", Contact{FirstName: "Nur", DateOfBirth: "1980-02-31"}, "date_of_birth", "is not a date of the form YYYY-MM-DD"},
		{"sex", Contact{FirstName: "Nur", Sex: "female"}, "sex", "is none of F, M and X"},
		{"phone", Contact{FirstName: "Nur", Phone: strings.Repeat("1", 41)}, "phone", "is longer than 40 characters"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			errs := tc.c.Validate()
			if tc.field == "" {
				if errs != nil {
					t.Fatalf("refused: %v", errs)
				}
				return
			}
			if len(errs) != 1 || errs[0] != (FieldError{tc.field, tc.reason}) {
				t.Fatalf("got %v, want %s: %s", errs, tc.field, tc.reason)
			}
		})
	}
}

func TestClean(t *testing.T) {
	c := Contact{
		FirstName: "  Nur\u00a0 al\u200f-Huda\n", LastName: "e\u0301t\u00ade\u0301", MotherFirstName: "--", FatherFirstName: "?",
		DateOfBirth: "25/12/1980", Sex: "أنثى", Phone: "+963 \t11 5550100", Location: "\ufeffBlock 4",
	}
	want := Contact{FirstName: "Nur al-Huda", LastName: "été", DateOfBirth: "1980-12-25", Sex: "F", Phone: "+963 11 5550100", Location: "Block 4"}
	if c.Clean(); c != want {
		t.Errorf("got  %+v\nwant %+v", c, want)
	}
}

func TestCleanIsStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Contact
		for _, f := range Fields() {
			c.Set(f, rapid.String().Draw(t, f.String()))
		}
		c.Clean()
		again := c
		if again.Clean(); again != c {
			t.Fatalf("cleaned twice: %+q, once: %+q", again, c)
		}
	})
}

func TestFieldNames(t *testing.T) {
	var c Contact
	for _, f := range Fields() {
		c.Set(f, f.String())
		if got, ok := ParseField(f.String()); !ok || got != f {
			t.Errorf("ParseField(%s) = %v, %v", f, got, ok)
		}
	}
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]string
	if err := json.Unmarshal(text, &m); err != nil {
		t.Fatal(err)
	}
	if len(m) != NumFields {
		t.Errorf("JSON has %d members, want %d", len(m), NumFields)
	}
	for k, v := range m {
		if k != v {
			t.Errorf("JSON member %s holds the field %s", k, v)
		}
	}
}

// isComposed is a short cut; no letter that it lets pass may need composing.
func TestIsComposed(t *testing.T) {
	for r := rune(0); r <= unicode.MaxRune; r++ {
		if !isComposed(r) {
			continue
		}
		if p := norm.NFC.PropertiesString(string(r)); p.CCC() != 0 || !norm.NFC.IsNormalString("e"+string(r)) || !p.BoundaryBefore() {
			t.Errorf("U+%04X", r)
		}
		if isInvisible(r) || unicode.IsSpace(r) {
			t.Errorf("U+%04X needs cleaning", r)
		}
	}
}
