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
	claims := func(s string) []voprf.Claim {
		c, err := voprf.DecodeClaims(nil, plain(s), v.Sizes)
		must(t, err)
		return c
	}
	stood := func() map[live]struct{} {
		out := map[live]struct{}{}
		must(t, applyClaims(out, claims(v.Standing)))
		return out
	}
	after := stood()
	must(t, applyClaims(after, claims(v.Claims)))
	var rows []string
	for l := range after {
		rows = append(rows, hex.EncodeToString(l.row[:]))
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
		if err := applyClaims(stood(), claims(m.Claim)); CodeOf(err) != CodeMismatch {
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
