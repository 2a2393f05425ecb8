package vectors

import (
	"bytes"
	"context"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"io"
	"os"
	"testing"

	"ihyid/exchange/answer"
	"ihyid/exchange/noise"
	"ihyid/exchange/sealedfile"
	"ihyid/exchange/voprf"
)

// The files are what the packages make today: a change of either shows here.
func TestFilesAreUpToDate(t *testing.T) {
	files, err := Files()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		if name == "file.json" {
			continue // TestFileIsUpToDate
		}
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if name == "voprf.json" {
			want, got = withoutProof(t, want), withoutProof(t, got)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from what go generate makes", name)
		}
	}
}

func withoutProof(t *testing.T, data []byte) []byte {
	t.Helper()
	var v VOPRFVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	v.Proof = nil
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// This project's packages accept the published proof and refuse what must be refused.
func TestPublishedVectors(t *testing.T) {
	load := func(name string, v any) {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(data, v); err != nil {
			t.Fatal(err)
		}
	}
	var v VOPRFVectors
	load("voprf.json", &v)
	pk, err := voprf.ParsePublicKey(v.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	if err := pk.Verify(context.Background(), v.Points, v.Evaluated, v.Proof); err != nil {
		t.Error(err)
	}
	key, err := voprf.ParseKey(v.Key)
	if err != nil {
		t.Fatal(err)
	}
	var ours [][32]byte
	for _, d := range v.Responder {
		ours = append(ours, [32]byte(d))
	}
	outputs := make([]voprf.Output, len(ours))
	if err := key.Outputs(context.Background(), ours, outputs); err != nil {
		t.Fatal(err)
	}
	tags, err := voprf.NewTagSet(outputs, [32]byte(v.TagSeed))
	if err != nil {
		t.Fatal(err)
	}
	transcript := [32]byte(v.Transcript)
	sizes := []uint32{256, 256, 256, 256}
	untrue := func(data []byte) bool {
		claims, err := voprf.DecodeClaims(nil, data, sizes)
		if err != nil {
			t.Fatal(err)
		}
		var openings []voprf.Opening
		for _, c := range claims {
			i, ok := tags.Lookup(c.Tag)
			if !ok {
				return true
			}
			openings = append(openings, voprf.Opening{Claim: c, Point: [32]byte(v.Points[32*c.Index:]), Digest: &ours[i], Output: &outputs[i]})
		}
		bad, err := voprf.CheckClaims(context.Background(), &transcript, openings)
		if err != nil {
			t.Fatal(err)
		}
		return len(bad) > 0
	}
	if untrue(v.Claims) {
		t.Error("voprf: a true claim is found untrue")
	}
	for _, u := range v.Untrue {
		if !untrue(u.Claim) {
			t.Errorf("voprf: untrue claim passes: %s", u.Why)
		}
	}

	var n NoiseVectors
	load("noise.json", &n)
	var theirs [][32]byte
	for _, d := range n.Initiator {
		theirs = append(theirs, [32]byte(d))
	}
	set, err := noise.Build(theirs, [32]byte(n.Seed))
	if err != nil {
		t.Fatal(err)
	}
	transcript = [32]byte(n.Transcript)
	for i, data := range append([]Untrue{{"", n.Claims}}, n.Untrue...) {
		claims, err := noise.DecodeClaims(nil, data.Claim, set.Len())
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range claims {
			if _, err := set.Verify(c, &transcript); (err == nil) != (i == 0) {
				t.Errorf("noise: claim %q: %v", data.Why, err)
			}
		}
	}

	var c ChangeVectors
	load("changes.json", &c)
	for what, data := range map[string]Hex{"those that stand": c.Standing, "the changes": c.Claims} {
		if _, err := voprf.DecodeClaims(nil, data, c.Sizes); err != nil {
			t.Errorf("changes: %s: %v", what, err)
		}
	}
	for _, i := range c.Invalid {
		if _, err := voprf.DecodeClaims(nil, i.Claim, c.Sizes); !errors.Is(err, voprf.ErrClaims) {
			t.Errorf("changes: %s: %v", i.Why, err)
		}
	}
	for _, i := range c.Mismatch { // by form they are good; what stands is for package exchange to know
		if _, err := voprf.DecodeClaims(nil, i.Claim, c.Sizes); err != nil {
			t.Errorf("changes: %s: %v", i.Why, err)
		}
	}
	for what, data := range map[string]Hex{"pairs": c.Pairs, "answers": c.Answers, "the whole": c.Whole} {
		if _, err := answer.Decode(nil, data); err != nil {
			t.Errorf("changes: %s: %v", what, err)
		}
	}

	var a AnswerVectors
	load("answers.json", &a)
	if list, err := answer.Decode(nil, a.Encoded); err != nil || len(list) != len(a.Answers) {
		t.Errorf("answers: %d, %v", len(list), err)
	}
	for _, i := range a.Invalid {
		if _, err := answer.Decode(nil, i.Claim); !errors.Is(err, answer.ErrInvalid) {
			t.Errorf("answers: %s: %v", i.Why, err)
		}
	}
}

// The file is as the package makes it today, but for its seal, which is random.
func TestFileIsUpToDate(t *testing.T) {
	want, err := File()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile("file.json")
	if err != nil {
		t.Fatal(err)
	}
	var got FileVectors
	if err := json.Unmarshal(data, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Sealed) != len(want.Sealed) {
		t.Errorf("sealed, it has %d bytes instead of %d", len(got.Sealed), len(want.Sealed))
	}
	got.Sealed, want.Sealed = nil, nil
	a, err1 := json.Marshal(got)
	b, err2 := json.Marshal(want)
	if err := errors.Join(err1, err2); err != nil || !bytes.Equal(a, b) {
		t.Errorf("file.json differs from what go generate makes (%v)", err)
	}
}

// This project's package reads the published file.
func TestPublishedFile(t *testing.T) {
	data, err := os.ReadFile("file.json")
	if err != nil {
		t.Fatal(err)
	}
	var v FileVectors
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	key, err := hpke.MLKEM768X25519().NewPrivateKey(v.Seed)
	if err != nil || !bytes.Equal(key.PublicKey().Bytes(), v.Public) {
		t.Fatalf("the key is another (%v)", err)
	}
	r, err := sealedfile.NewReader(bytes.NewReader(v.Sealed), 1<<20, []sealedfile.Recipient{{Key: key, Document: [32]byte(v.Document)}})
	if err != nil || string(r.Presentation()) != v.Presentation {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		c, err := r.Next()
		if err == io.EOF && i == len(v.Chunks) {
			break
		}
		if err != nil || c.Set != v.Chunks[i].Set || c.Index != v.Chunks[i].Index || !bytes.Equal(c.Data, v.Chunks[i].Data) {
			t.Fatalf("chunk %d: %v", i, err)
		}
	}
}
