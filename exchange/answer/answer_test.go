package answer

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"ihyid/exchange/merkle"
)

func genAnswers(t *rapid.T) []Answer {
	row := rapid.Custom(func(t *rapid.T) (r Row) {
		copy(r[:], rapid.SliceOfN(rapid.ByteRange(0, 3), 2, 2).Draw(t, "row"))
		r[15] = 1
		return r
	})
	list := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Answer {
		a := Answer{Initiator: row.Draw(t, "a"), Tier: Tier(rapid.IntRange(1, 3).Draw(t, "tier"))}
		if a.Tier != Withdrawn {
			a.Responder, a.Keys = row.Draw(t, "b"), rapid.Uint32Range(1, 1<<32-1).Draw(t, "keys")
		}
		return a
	}), 0, 30).Draw(t, "answers")
	slices.SortStableFunc(list, order)
	return slices.CompactFunc(list, func(a, b Answer) bool { return order(a, b) == 0 })
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := genAnswers(t)
		shuffled := slices.Clone(want)
		if len(shuffled) > 0 {
			shuffled = rapid.Permutation(shuffled).Draw(t, "order")
		}
		data, err := Encode(shuffled)
		if err != nil {
			t.Fatal(err)
		}
		if len(data) != Size*len(want) {
			t.Fatalf("%d bytes", len(data))
		}
		cut := rapid.IntRange(0, len(want)).Draw(t, "cut") * Size
		got, err := Decode(nil, data[:cut])
		if err == nil {
			got, err = Decode(got, data[cut:])
		}
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("got %v, %v", got, err)
		}
		// What is encoded here is a committed set there.
		if _, err := merkle.Commit(data, Size); err != nil {
			t.Fatal(err)
		}
	})
}

func TestKnownBytes(t *testing.T) {
	a := Answer{Keys: 0x01020304, Tier: Match}
	for i := range RowSize {
		a.Initiator[i], a.Responder[i] = byte(0xa0+i), byte(0xb0+i)
	}
	got, err := Encode([]Answer{a})
	want := []byte("\xa0\xa1\xa2\xa3\xa4\xa5\xa6\xa7\xa8\xa9\xaa\xab\xac\xad\xae\xaf" +
		"\xb0\xb1\xb2\xb3\xb4\xb5\xb6\xb7\xb8\xb9\xba\xbb\xbc\xbd\xbe\xbf\x01\x02\x03\x04\x02")
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("got %x, %v", got, err)
	}
}

func TestRefuses(t *testing.T) {
	one, two := Row{1}, Row{2}
	for name, list := range map[string][]Answer{
		"no tier":             {{one, two, 1, 0}},
		"unknown tier":        {{one, two, 1, 4}},
		"no keys":             {{one, two, 0, Match}},
		"possible, no keys":   {{one, two, 0, Possible}},
		"withdrawn with keys": {{one, Row{}, 1, Withdrawn}},
		"twice":               {{one, two, 1, Match}, {one, two, 2, Possible}},
	} {
		if _, err := Encode(list); !errors.Is(err, ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	good, err := Encode([]Answer{{one, two, 1, Match}, {two, one, 1, Match}})
	if err != nil {
		t.Fatal(err)
	}
	kept := []Answer{{one, one, 1, Match}}
	bend := func(at int, b byte) []byte { d := bytes.Clone(good); d[at] = b; return d }
	for name, data := range map[string][]byte{
		"half":         good[:Size+5],
		"descending":   append(bytes.Clone(good[Size:]), good[:Size]...),
		"twice":        append(bytes.Clone(good[:Size]), good[:Size]...),
		"unknown tier": bend(Size-1, 9),
		"no keys":      bend(Size-2, 0),
		"below dst":    bend(0, 0),
	} {
		got, err := Decode(kept, data)
		if !errors.Is(err, ErrInvalid) || !slices.Equal(got, kept) {
			t.Errorf("%s: %v, %v", name, got, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good, err := Encode([]Answer{{Row{1}, Row{2}, 1, Match}, {Row{1}, Row{3}, 6, Possible}, {Row{2}, Row{}, 0, Withdrawn}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte{})
	f.Add(good[1:])
	f.Fuzz(func(t *testing.T, data []byte) {
		list, err := Decode(nil, data)
		if err != nil {
			return
		}
		back, err := Encode(list)
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("accepted what it would not write: %v", err)
		}
	})
}
