package contacts

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/gowebpki/jcs"
	"pgregory.net/rapid"
)

func mustProfile(t testing.TB, name string) *Profile {
	t.Helper()
	p, err := BuiltinProfile(name)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestBuiltinProfiles(t *testing.T) {
	names := BuiltinProfiles()
	if len(names) == 0 {
		t.Fatal("none")
	}
	for _, name := range names {
		p := mustProfile(t, name)
		if p.Name() != name {
			t.Errorf("%s calls itself %s", name, p.Name())
		}
		again, err := ParseProfile(p.JSON())
		if err != nil || again.Digest() != p.Digest() || !bytes.Equal(again.JSON(), p.JSON()) {
			t.Errorf("%s: its canonical form is read as another profile: %v", name, err)
		}
	}
	if _, err := BuiltinProfile("../contact"); !errors.Is(err, ErrUnknownProfile) {
		t.Errorf("unknown name: %v", err)
	}
}

// The digests of released profiles never change: peers know them by these.
func TestProfileDigestsArePinned(t *testing.T) {
	for name, want := range map[string]string{
		"cyrillic/1": "sha256:57694b117b4ed149df1a2c3879a887dd51a098ee93e4e36e026b2b1856a8866a",
		"latin/1":    "sha256:fc9f4e49c62a21b3a43536a467a3fef05902d710b5aae61190e0f12250210ff6",
		"levant/1":   "sha256:076cb7de174acc7ac80844da543a97023ed4df79494c471d28562b08e7c61f3a",
		"soundex/1":  "sha256:9322901b4257b67be1afd23b60e6f43c6636d0afc87440ea069c6ed365e6bc89",
	} {
		if got := mustProfile(t, name).ID(); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

func TestParseProfileRefuses(t *testing.T) {
	good := string(mustProfile(t, "soundex/1").JSON())
	if _, err := ParseProfile([]byte(good)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(string) string{
		"empty":              func(string) string { return "" },
		"null":               func(string) string { return "null" },
		"list":               func(string) string { return "[]" },
		"trailing":           func(s string) string { return s + "{}" },
		"unknown member":     func(s string) string { return strings.Replace(s, "{", `{"x":"y",`, 1) },
		"unknown inside":     func(s string) string { return strings.Replace(s, `{"encode"`, `{"x":"","encode"`, 1) },
		"doubled member":     func(s string) string { return strings.Replace(s, "{", `{"name":"soundex/1",`, 1) },
		"case":               func(s string) string { return strings.Replace(s, `"name"`, `"Name"`, 1) },
		"null member":        func(s string) string { return strings.Replace(s, "{", `{"description":null,`, 1) },
		"empty as":           func(s string) string { return strings.Replace(s, `{"encode"`, `{"as":"","encode"`, 1) },
		"no first name":      func(s string) string { return strings.ReplaceAll(s, `"first_name"`, `"location"`) },
		"field twice":        func(s string) string { return strings.ReplaceAll(s, `"last_name"`, `"first_name"`) },
		"code named key":     func(s string) string { return strings.Replace(s, `{"encode"`, `{"as":"key","encode"`, 1) },
		"unknown field":      func(s string) string { return strings.ReplaceAll(s, `"last_name"`, `"nickname"`) },
		"unknown encoder":    func(s string) string { return strings.Replace(s, `"soundex/1","field"`, `"soundex/2","field"`, 1) },
		"unknown normaliser": func(s string) string { return strings.Replace(s, "none/1", "none/2", 1) },
		"strength":           func(s string) string { return strings.Replace(s, "strong", "Strong", 1) },
		"number":             func(s string) string { return strings.Replace(s, `"match":"4"`, `"match":4`, 1) },
		"zero":               func(s string) string { return strings.Replace(s, `"match":"4"`, `"match":"0"`, 1) },
		"leading zero":       func(s string) string { return strings.Replace(s, `"match":"4"`, `"match":"04"`, 1) },
		"upside down":        func(s string) string { return strings.Replace(s, `"match":"4"`, `"match":"1"`, 1) },
		"other format":       func(s string) string { return strings.Replace(s, "profile/1", "profile/2", 1) },
		"profile name":       func(s string) string { return strings.Replace(s, `"name":"soundex/1"`, `"name":"soundex"`, 1) },
		"key name":           func(s string) string { return strings.Replace(s, `"original"`, `"Or\u0000"`, 1) },
		"too long":           func(s string) string { return s + strings.Repeat(" ", MaxProfileBytes) },
		"deep":               func(s string) string { return strings.Repeat("[", 60000) },
	} {
		if bad := change(good); bad == good {
			t.Errorf("%s: nothing changed", name)
		} else if _, err := ParseProfile([]byte(bad)); !errors.Is(err, ErrProfile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestProfileDigestIsOfCanonicalForm(t *testing.T) {
	p := mustProfile(t, "soundex/1")
	var loose bytes.Buffer
	if err := json.Indent(&loose, p.JSON(), "  ", "\t"); err != nil {
		t.Fatal(err)
	}
	again, err := ParseProfile(loose.Bytes())
	if err != nil || again.Digest() != p.Digest() {
		t.Errorf("white space changed the digest: %v", err)
	}
	if p.Digest() != sha256.Sum256(p.JSON()) {
		t.Error("the digest is not that of the canonical form")
	}
}

func TestTier(t *testing.T) {
	p, err := ParseProfile([]byte(`{"format":"ihyid-matching-profile/1","name":"test/1","keys":[` +
		`{"name":"s","strength":"strong","parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]},` +
		`{"name":"w","strength":"weak","parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]},` +
		`{"name":"v","strength":"weak","parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]},` +
		`{"name":"h","strength":"hint","parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]},` +
		`{"name":"i","strength":"hint","parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]}],` +
		`"tiers":{"hint":"1","match":"4","possible":"2","strong":"4","weak":"2"}}`))
	if err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[uint32]Tier{
		0: TierNone, 1: TierMatch, 2: TierPossible, 4: TierPossible, 6: TierMatch, 7: TierMatch, 8: TierNone, 24: TierPossible, 10: TierPossible,
		26: TierMatch, 0xffffffe0: TierNone,
	} {
		if got := p.Tier(keys); got != want {
			t.Errorf("Tier(%b) = %v, want %v", keys, got, want)
		}
	}
}

// The records are written by hand, for speed; they must be what an RFC 8785 library makes of the same members.
func TestRecordsAreCanonical(t *testing.T) {
	for _, name := range BuiltinProfiles() {
		p := mustProfile(t, name)
		e := p.NewEncoder()
		rapid.Check(t, func(t *rapid.T) {
			c := drawContact(t)
			records := e.Records(&c)
			digests := e.Digests(nil, &c)
			if len(records) != len(digests) {
				t.Fatalf("%d records, %d digests", len(records), len(digests))
			}
			for i, r := range records {
				m := map[string]string{"key": r.Key, "profile": p.ID()}
				for _, code := range r.Codes {
					m[code.Name] = code.Code
				}
				plain, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				want, err := jcs.Transform(plain)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(r.JSON, want) {
					t.Fatalf("record %s\nwant   %s", r.JSON, want)
				}
				if digests[i].Digest != sha256.Sum256(want) || r.Digest != digests[i].Digest || p.KeyName(int(digests[i].Key)) != r.Key {
					t.Fatal("the digest is not that of the record")
				}
			}
		})
	}
}

func drawContact(t *rapid.T) Contact {
	name := rapid.OneOf(rapid.String(), rapid.StringMatching(`[A-Za-z' -]{0,12}`), rapid.StringOfN(rapid.RuneFrom([]rune("ابتثجحخدذرزسشصضطظعغفقكلمنهويةىأإآء ")), 0, 10, -1))
	var c Contact
	for _, f := range Fields() {
		c.Set(f, name.Draw(t, f.String()))
	}
	c.DateOfBirth = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`19[0-9]{2}-0[1-9]-[012][1-8]`), rapid.String()).Draw(t, "date")
	return c
}

func TestRecord(t *testing.T) {
	p := mustProfile(t, "soundex/1")
	records := p.NewEncoder().Records(&houman)
	want := `{"date_of_birth":"19760507","father_first_name":"M240","first_name":"H550","key":"original","last_name":"H330","mother_first_name":"B616","profile":"` + p.ID() + `"}`
	if len(records) != 1 || string(records[0].JSON) != want {
		t.Errorf("got %s\nwant %s", records[0].JSON, want)
	}
	missing := houman
	missing.FatherFirstName = ""
	if records := p.NewEncoder().Records(&missing); records != nil {
		t.Errorf("a record with an empty field: %v", records)
	}
}

func FuzzParseProfile(f *testing.F) {
	for _, name := range BuiltinProfiles() {
		f.Add(mustProfile(f, name).JSON())
	}
	f.Add([]byte(`{"format":"ihyid-matching-profile/1","name":"x/1","keys":[],"tiers":{}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := ParseProfile(text)
		if err != nil {
			if !errors.Is(err, ErrProfile) {
				t.Fatalf("not ErrProfile: %v", err)
			}
			return
		}
		again, err := ParseProfile(p.JSON())
		if err != nil || again.Digest() != p.Digest() {
			t.Fatalf("canonical form not stable: %v", err)
		}
		p.NewEncoder().Digests(nil, &houman)
	})
}

func BenchmarkEncoder(b *testing.B) {
	list := []Contact{
		houman,
		{FirstName: "ياسر", LastName: "السبزواري", MotherFirstName: "تالا", FatherFirstName: "رياض", DateOfBirth: "2020-09-15"},
		{FirstName: "Abdul Rahman", LastName: "Al-Khatib", MotherFirstName: "Umm Kulthum", FatherFirstName: "Mohammad", DateOfBirth: "1990-01-01"},
		{FirstName: "Nouf", LastName: "Sha'bi", MotherFirstName: "Wafaa", FatherFirstName: "Anas", DateOfBirth: "2012-01-01", Phone: "+963 944 555 100", NationalID: "01020304050"},
	}
	for _, name := range BuiltinProfiles() {
		b.Run(name, func(b *testing.B) {
			e := mustProfile(b, name).NewEncoder()
			b.ReportAllocs()
			var buf []KeyDigest
			i := 0
			for b.Loop() {
				buf = e.Digests(buf[:0], &list[i%len(list)])
				i++
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "contacts/s")
		})
	}
}
