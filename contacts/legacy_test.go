package contacts

import (
	"bufio"
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestSoundex(t *testing.T) {
	for name, want := range map[string]string{
		"Houman": "H550", "Haddad": "H330", "Barbara": "B616", "Michael": "M240", "houman": "H550", " Hou-man ": "H550",
		"Lloyd": "L430", "Pfister": "P123", "Robert": "R163", "Rupert": "R163", "Ashcraft": "A261", "Tymczak": "T522",
		"Lee": "L000", "A": "A000", "Hh": "H000", "Wh": "W000", "Müller": "M460", "Øystein": "O235", "Weiß": "W200",
		"محمد": "M530", "علي": "L000", "Олександр": "O425", "李": "L000",
		"": "", "123": "", "😀": "", "-": "", "\xff": "",
	} {
		if got := Soundex(name); got != want {
			t.Errorf("Soundex(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestSoundexAgreesWithPrototype(t *testing.T) {
	f, err := os.Open(sharedData(t, "soundex-prototype.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := 0
	for s := bufio.NewScanner(f); s.Scan(); lines++ {
		name, want, _ := strings.Cut(s.Text(), "\t")
		if got := Soundex(name); got != want {
			t.Errorf("line %d: Soundex(%q) = %s, want %s", lines+1, name, got, want)
		}
	}
	if lines < 300 {
		t.Errorf("only %d lines", lines)
	}
}

var houman = Contact{FirstName: "Houman", LastName: "Haddad", MotherFirstName: "Barbara", FatherFirstName: "Michael", DateOfBirth: "1976-05-07"}

func TestPhoneticID(t *testing.T) {
	if got, ok := PhoneticID(&houman); !ok || got != "H550-H330-B616-M240-19760507" {
		t.Errorf("got %q, %v", got, ok)
	}
	for f := range DateOfBirth + 1 {
		c := houman
		if c.Set(f, ""); true {
			if got, ok := PhoneticID(&c); ok {
				t.Errorf("without %s: %q", f, got)
			}
		}
	}
}

func TestLegacyUscadi(t *testing.T) {
	// printf 'H550-H330-B616-M240-19760507abc123' | sha256sum
	const want = "5552c5cb"
	got := LegacyUscadi("H550-H330-B616-M240-19760507", []byte("abc123"))
	if len(got) != 64 || got[:8] != want {
		t.Errorf("got %s, want %s…", got, want)
	}
}

func TestCheckAnonymous(t *testing.T) {
	ctx := context.Background()
	ids := []string{"A000-B000-C000-D000-19800101", "H550-H330-B616-M240-19760507", ""}
	secrets := []string{"00ff", "11ee", "22dd"}
	uscadis := []string{
		LegacyUscadi("X000", []byte("00ff")),
		LegacyUscadi(ids[1], []byte("22dd")),
		strings.ToUpper(LegacyUscadi(ids[0], []byte("11ee"))),
		"not hex", strings.Repeat("zz", 32), "",
		LegacyUscadi(ids[1], []byte("22dd")),
		LegacyUscadi(ids[1], []byte{0x22, 0xdd}),
	}
	got, err := CheckAnonymous(ctx, ids, uscadis, secrets)
	if err != nil {
		t.Fatal(err)
	}
	if want := []bool{false, true, true, false, false, false, true, false}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, err := CheckAnonymous(ctx, make([]string, 20_001), nil, make([]string, 20_000)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("over the bound: %v", err)
	}
	if _, err := CheckAnonymous(ctx, []string{strings.Repeat("a", 257)}, nil, secrets); !errors.Is(err, ErrTooLarge) {
		t.Errorf("long id: %v", err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := CheckAnonymous(cancelled, ids, uscadis, secrets); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func BenchmarkCheckAnonymous(b *testing.B) {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = "H550-H330-B616-M240-19760507"
	}
	secrets := make([]string, 1000)
	for i := range secrets {
		secrets[i] = strings.Repeat("0f", 16)
	}
	for b.Loop() {
		if _, err := CheckAnonymous(context.Background(), ids, []string{strings.Repeat("00", 32)}, secrets); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)*1e6/b.Elapsed().Seconds(), "checks/s")
}
