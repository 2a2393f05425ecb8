package match_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"testing"

	"ihyid/cmd/ihyid/match"
	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/test/lists"
)

func profile(t testing.TB) *contacts.Profile {
	t.Helper()
	p, err := contacts.BuiltinProfile("soundex/1")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func read(t testing.TB, name, text string) *match.List {
	t.Helper()
	l, err := match.Read(t.Context(), name, strings.NewReader(text), list.ReaderOptions{}, profile(t), true)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

const head = "external_id,first_name,last_name,mother_first_name,father_first_name,date_of_birth\n"

func TestPairs(t *testing.T) {
	a := read(t, "a", head+"A1,Houman,Haddad,Barbara,Michael,1976-05-07\nA2,Amal,Khoury,Nadia,Samir,1980-02-13\nA3,Bad,Date,X,Y,1980-02-31\n"+
		"A1,Human,Hadad,Barbara,Michael,1976-05-07\n,Rana,Sabbagh,Hala,Omar,1999-09-09\nA6,Half,Known,,,1990-01-01\n")
	b := read(t, "b", head+"=B1,Human,Hadad,Barbara,Michael,1976-05-07\nB2,Rana,Sabbagh,Hala,Omar,1999-09-09\n")
	if r := a.Report; r.Contacts != 5 || r.Rejected != 1 || r.RepeatedIDs != 1 || r.WithoutKeys != 1 || len(r.Problems) != 1 || r.Problems[0].Line != 4 || r.Problems[0].Field != "date_of_birth" {
		t.Errorf("%+v", r)
	}
	p := profile(t)
	pairs, err := match.Pairs(t.Context(), p, a, b)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := match.Write(&out, p, a, b, pairs); err != nil {
		t.Fatal(err)
	}
	got, err := csv.NewReader(&out).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	key := p.KeyName(0)
	want := [][]string{match.Columns, {"A1", "'=B1", "match", key}, {"line:6", "B2", "match", key}}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%q, want %q", got, want)
	}
	truth, err := match.ReadTruth(strings.NewReader("note,B_external_id,a_external_id\n,B2,A2\n,=B1,A1\n,=B1,A1\n,B9,A1\n"), a, b)
	if err != nil {
		t.Fatal(err)
	}
	e := contacts.Evaluate(pairs, truth.Pairs)
	if e.Match.TruePositives != 1 || e.Match.FalsePositives != 1 || e.Match.FalseNegatives != 2 || truth.Unknown != 1 || len(truth.Pairs) != 3 {
		t.Errorf("%+v %+v", e, truth)
	}
}

func TestReadTruthRefuses(t *testing.T) {
	l := read(t, "a", head+"A1,Houman,Haddad,Barbara,Michael,1976-05-07\n")
	for _, text := range []string{
		"", "a,b\nA1,B1\n", "a_external_id\nA1\n", "a_external_id,b_external_id,a_external_id\n", "a_external_id,b_external_id\nA1\n",
		"a_external_id,b_external_id\nA1,\n", "a_external_id,b_external_id\n\"A1,B1\n", "a_external_id,b_external_id\nSecret\"x,B1\n",
		"a_external_id,b_external_id\n" + strings.Repeat("x", 5000) + ",B\n",
	} {
		if _, err := match.ReadTruth(strings.NewReader(text), l, l); !errors.Is(err, match.ErrTruth) || strings.Contains(err.Error(), "Secret") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// TestDecoys holds the estimate against false matches that can be counted: two lists that have nobody in common.
func TestDecoys(t *testing.T) {
	population, err := lists.New(lists.Options{Seed: 3, N: 20_000, Overlap: -1})
	if err != nil {
		t.Fatal(err)
	}
	var texts [2]bytes.Buffer
	for i := range texts {
		if err := population.WriteCSV(&texts[i], i); err != nil {
			t.Fatal(err)
		}
	}
	// One coarse key, so that there is something to count.
	p, err := contacts.ParseProfile([]byte(`{"format":"ihyid-matching-profile/1","name":"coarse/1","keys":[{"name":"names","strength":"strong","parts":[` +
		`{"field":"first_name","normalise":"none/1","encode":"soundex/1"},{"field":"last_name","normalise":"none/1","encode":"soundex/1"},` +
		`{"field":"mother_first_name","normalise":"none/1","encode":"soundex/1"}]}],"tiers":{"hint":"1","weak":"2","strong":"4","possible":"2","match":"4"}}`))
	if err != nil {
		t.Fatal(err)
	}
	var l [2]*match.List
	for i := range l {
		if l[i], err = match.Read(t.Context(), "list", &texts[i], list.ReaderOptions{}, p, true); err != nil {
			t.Fatal(err)
		}
	}
	pairs, err := match.Pairs(t.Context(), p, l[0], l[1])
	if err != nil {
		t.Fatal(err)
	}
	e, err := match.Decoys(t.Context(), p, l[0], l[1], 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d false matches; estimate %+v", len(pairs), e)
	if n := float64(len(pairs)); n < 50 || e.Match.Pairs < n/2 || e.Match.Pairs > n*2 {
		t.Errorf("%d false matches, but the estimate is %+v", len(pairs), e)
	}
	if e.Match.Low > e.Match.Pairs || e.Match.High < e.Match.Pairs || e.Rounds < 2 || e.Decoys+e.Left != e.Rounds*l[1].Report.Contacts {
		t.Errorf("%+v", e)
	}
	again, err := match.Decoys(t.Context(), p, l[0], l[1], 1)
	if err != nil || again != e {
		t.Errorf("another time: %+v, %v", again, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := match.Decoys(ctx, p, l[0], l[1], 1); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end: %v", err)
	}
}

// TestDecoysOfOneName cannot make a decoy where all have one first name, and says so.
func TestDecoysOfOneName(t *testing.T) {
	text := head + strings.Repeat("A,Amal,Khoury,Nadia,Samir,1980-02-13\n", 3)
	l := read(t, "a", text)
	e, err := match.Decoys(t.Context(), profile(t), l, l, 1)
	if err != nil || e.Decoys != 0 || e.Left != 3*e.Rounds || e.Match.Pairs != 0 {
		t.Errorf("%+v, %v", e, err)
	}
}

// BenchmarkMatch reads and matches two lists, as the command does.
func BenchmarkMatch(b *testing.B) {
	const size = 20_000
	population, err := lists.New(lists.Options{Seed: 3, N: size})
	if err != nil {
		b.Fatal(err)
	}
	var texts [2]bytes.Buffer
	for i := range texts {
		if err := population.WriteCSV(&texts[i], i); err != nil {
			b.Fatal(err)
		}
	}
	p := profile(b)
	for b.Loop() {
		var l [2]*match.List
		for i := range l {
			if l[i], err = match.Read(b.Context(), "list", bytes.NewReader(texts[i].Bytes()), list.ReaderOptions{}, p, false); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := match.Pairs(b.Context(), p, l[0], l[1]); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(2*size*float64(b.N)/b.Elapsed().Seconds(), "contacts/s")
}
