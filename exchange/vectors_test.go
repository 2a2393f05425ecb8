package exchange

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"os"
	"slices"
	"testing"

	"ihyid/exchange/answer"
	"ihyid/exchange/voprf"
)

// TestChangesVector applies the published changes of an increment to what stood before, and refuses those that do not fit it.
func TestChangesVector(t *testing.T) {
	raw, err := os.ReadFile("../test/vectors/changes.json")
	must(t, err)
	var v struct {
		Sizes                                   []uint32
		Standing, Claims, Pairs, Answers, Whole string
		AnswersRoot                             string
		After                                   []struct{ Row string }
		Mismatch                                []struct{ Why, Claim string }
	}
	must(t, json.Unmarshal(raw, &v))
	plain := func(s string) []byte {
		b, err := hex.DecodeString(s)
		must(t, err)
		return b
	}
	apply := func(stood []byte, claims string) ([]byte, error) {
		c, err := voprf.DecodeClaims(nil, plain(claims), v.Sizes)
		must(t, err)
		return applyClaims(stood, c, plain(claims))
	}
	stood, err := apply(nil, v.Standing)
	must(t, err)
	after, err := apply(stood, v.Claims)
	must(t, err)
	var rows []string
	for ; len(after) > 0; after = after[liveRecord:] {
		rows = append(rows, hex.EncodeToString(after[8:liveKey]))
	}
	var want []string
	for _, a := range v.After {
		want = append(want, a.Row)
	}
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		t.Errorf("%d claims stand, want %d", len(rows), len(want))
	}
	for _, m := range v.Mismatch {
		if _, err := apply(stood, m.Claim); CodeOf(err) != CodeMismatch {
			t.Errorf("%s: %v", m.Why, err)
		}
	}
	mine := claimed{}
	for i := 0; i < len(plain(v.Answers)); i += answer.Size {
		mine[answer.Row(plain(v.Answers)[i:])] = claimed{}[answer.Row{}]
	}
	whole, err := applyAnswers(plain(v.Pairs), plain(v.Answers), mine)
	must(t, err)
	root, err := rootOf(whole, answer.Size)
	must(t, err)
	if !bytes.Equal(whole, plain(v.Whole)) || root != v.AnswersRoot {
		t.Error("other pairs stand")
	}
}
