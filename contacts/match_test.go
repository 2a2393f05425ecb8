package contacts

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// testProfile has four keys whose digests the tests make up.
func testProfile(t testing.TB) *Profile {
	t.Helper()
	doc := `{"format":"ihyid-matching-profile/1","name":"test/1","keys":[`
	for i, strength := range []string{"strong", "weak", "weak", "weak"} {
		if i > 0 {
			doc += ","
		}
		doc += fmt.Sprintf(`{"name":"k%d","strength":%q,"parts":[{"field":"first_name","normalise":"none/1","encode":"soundex/1"}]}`, i, strength)
	}
	p, err := ParseProfile([]byte(doc + `],"tiers":{"hint":"1","match":"4","possible":"2","strong":"4","weak":"2"}}`))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func drawDigests(t *rapid.T, p *Profile, label string) *Digests {
	d := NewDigests(p, 0)
	for i := range rapid.IntRange(0, 20).Draw(t, label) {
		var digests []KeyDigest
		for k := range p.NumKeys() {
			if v := rapid.IntRange(0, 8).Draw(t, fmt.Sprint(label, i, k)); v > 0 {
				digests = append(digests, KeyDigest{uint8(k), sha256.Sum256([]byte{byte(k), byte(v)})})
			}
		}
		d.Append(digests)
	}
	return d
}

// naive is the definition: keys that agree, without those that too many of one list share.
func naive(p *Profile, a, b *Digests, same bool, limit int) []Pair {
	count := func(d *Digests) map[KeyDigest]int {
		m := map[KeyDigest]int{}
		for i := range d.Len() {
			for _, k := range d.At(i) {
				m[k]++
			}
		}
		return m
	}
	ca, cb := count(a), count(b)
	var pairs []Pair
	for i := range a.Len() {
		for j := range b.Len() {
			if same && j <= i {
				continue
			}
			var keys uint32
			for _, x := range a.At(i) {
				if ca[x] <= limit && cb[x] <= limit && slices.Contains(b.At(j), x) {
					keys |= 1 << x.Key
				}
			}
			if tier := p.Tier(keys); tier != TierNone {
				pairs = append(pairs, Pair{i, j, keys, tier})
			}
		}
	}
	return pairs
}

func TestMatchIsItsDefinition(t *testing.T) {
	p := testProfile(t)
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawDigests(t, p, "a"), drawDigests(t, p, "b")
		got, err := Match(context.Background(), p, a, b, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := naive(p, a, b, false, MaxShared); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func TestDuplicatesIsItsDefinition(t *testing.T) {
	p := testProfile(t)
	rapid.Check(t, func(t *rapid.T) {
		d := drawDigests(t, p, "d")
		got, err := Duplicates(context.Background(), p, d, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := naive(p, d, d, true, MaxDuplicates); !slices.Equal(got, want) {
			t.Fatalf("got  %v\nwant %v", got, want)
		}
	})
}

func TestMatchRefusesOtherProfile(t *testing.T) {
	p, q := testProfile(t), mustProfile(t, "soundex/1")
	if _, err := Match(context.Background(), p, NewDigests(p, 0), NewDigests(q, 0), nil); !errors.Is(err, ErrProfileMismatch) {
		t.Errorf("got %v", err)
	}
	if _, err := Duplicates(context.Background(), p, NewDigests(q, 0), nil); !errors.Is(err, ErrProfileMismatch) {
		t.Errorf("got %v", err)
	}
}

func TestMatchHonoursContext(t *testing.T) {
	p := mustProfile(t, "soundex/1")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := EncodeAll(ctx, p, make([]Contact, 5000), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("EncodeAll: %v", err)
	}
	if _, err := Match(ctx, p, NewDigests(p, 0), NewDigests(p, 0), nil); !errors.Is(err, context.Canceled) {
		t.Errorf("Match: %v", err)
	}
}

func TestEncodeAllKeepsOrder(t *testing.T) {
	p := mustProfile(t, "soundex/1")
	list := make([]Contact, 5000)
	for i := range list {
		list[i] = houman
		list[i].DateOfBirth = fmt.Sprintf("%d-%02d-%02d", 1900+i%100, 1+i%12, 1+i%28)
		if i%7 == 0 {
			list[i].FirstName = ""
		}
	}
	last := 0
	d, err := EncodeAll(context.Background(), p, list, func(done, total int) {
		if done < last || total != len(list) {
			t.Errorf("progress %d of %d after %d", done, total, last)
		}
		last = done
	})
	if err != nil {
		t.Fatal(err)
	}
	if last != len(list) || d.Len() != len(list) {
		t.Fatalf("%d of %d, %d digests", last, len(list), d.Len())
	}
	e := p.NewEncoder()
	for i := range list {
		if want := e.Digests(nil, &list[i]); !slices.Equal(d.At(i), want) {
			t.Fatalf("contact %d: %d digests, want %d", i, len(d.At(i)), len(want))
		}
	}
}

func TestEvaluate(t *testing.T) {
	pairs := []Pair{{0, 0, 1, TierMatch}, {1, 1, 1, TierMatch}, {1, 2, 1, TierMatch}, {2, 2, 2, TierPossible}, {3, 0, 2, TierPossible}}
	e := Evaluate(pairs, [][2]int{{0, 0}, {1, 1}, {2, 2}, {3, 3}})
	if m := e.Match; m.TruePositives != 2 || m.FalsePositives != 1 || m.FalseNegatives != 2 || m.Recall != .5 || math.Abs(m.Precision-2./3) > 1e-9 || math.Abs(m.F1-4./7) > 1e-9 {
		t.Errorf("match: %+v", e.Match)
	}
	if e.Review.TruePositives != 3 || e.Review.FalsePositives != 2 || e.Review.Precision != .6 || e.Review.Recall != .75 {
		t.Errorf("review: %+v", e.Review)
	}
	if e := Evaluate(nil, nil); e.Match != (Score{}) {
		t.Errorf("nothing: %+v", e.Match)
	}
}
