package contacts

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// A profile's digest pins the document, not the tables and libraries that its normalisers and encoders are made of. This
// test does: if it fails, codes have changed, and nodes of different versions no longer match. Give what changed a new version.
func TestCodesArePinned(t *testing.T) {
	text, err := os.ReadFile("normalise/testdata/arabic-names.txt")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for line := range strings.Lines(string(text)) {
		if line[0] != '#' {
			names = append(names, strings.Split(strings.TrimSpace(line), "|")...)
		}
	}
	names = append(names, strings.Split("Шевченко|Shevchenko|Олександр|Oleksandr|Зеленський|Zelenskyy|Щербак|Їжакевич|Юрій|Wojciechowski|"+
		"O'Brien|Müller|Nuñez|Straße|Ørsted|Łukasz|García López|van der Berg|MacDonald|Schmidt|Thompson|Knight|Nguyễn|李|김|አበበ|Αλέξανδρος|שרה|"+
		"گل\u200cمحمد|پرویز|چنگیز|ژاله|ڈار|ٹیپو|Bint Ali|Umm Ali|123|😀|-", "|")...)
	for name, want := range map[string]string{
		"soundex/1":  "2062f209e7a167b685328ee0d334b9db0e4c43dd8499680cd4109c0e2e4102d5",
		"levant/1":   "caa0ccf8a5475102c7b9503be97454888e8abda86157746472ffc74ef4951cc3",
		"latin/1":    "eb093795768a4e6d68321be5d3db3e5a86c98f59d0a2fdd8f9e4ed4e43052776",
		"cyrillic/1": "6826f98db34c30c6df6ceb089b3f1fa8aaafc1025c970152237eeb0c8fffaa18",
	} {
		e := mustProfile(t, name).NewEncoder()
		h := sha256.New()
		for i, n := range names {
			other := names[(i*7+3)%len(names)]
			c := Contact{FirstName: n, LastName: other, MotherFirstName: n, FatherFirstName: other, DateOfBirth: "1980-03-05", Phone: "+963 944 555 100", NationalID: "01-020304"}
			for _, r := range e.Records(&c) {
				h.Write(r.JSON)
			}
		}
		if got := hex.EncodeToString(h.Sum(nil)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}
