package exchange

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"sort"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
)

// Within an epoch, claims and answers are changes: the initiator claims what it has not claimed before, and takes back what is no more; the responder answers the pairs
// that are new or otherwise, and takes back those that are no more. The first exchange of an epoch keeps the whole, each later one its changes; folded
// together they are what stands. The receipt has the root over the whole.

// Sets that the first exchange of an epoch keeps whole; neither is ever sent.
const (
	setLive   = "live"   // the responder's: all claims that stand
	setResult = "result" // all pairs that stand, as answers
)

// A claim that stands is kept as the first bytes of a claim: the row has the digest of that point, to which the responder gave that tag.
const (
	liveKey    = 4 + 4 + answer.RowSize // set, index, row
	liveRecord = liveKey + voprf.TagSize
)

// sortedChange is a record that is to stand in a sorted list, or to stand there no more. Its first bytes are its key.
type sortedChange struct {
	record []byte
	gone   bool
}

// foldSorted applies changes, which must be in ascending order, each key once, to a list of records of one size in the order of their keys.
func foldSorted(raw []byte, size, key int, changes []sortedChange) []byte {
	out := make([]byte, 0, len(raw)+len(changes)*size)
	for _, c := range changes {
		i := searchRecord(raw, size, c.record[:key]) * size
		out, raw = append(out, raw[:i]...), raw[i:]
		if len(raw) > 0 && bytes.Equal(raw[:key], c.record[:key]) {
			raw = raw[size:]
		}
		if !c.gone {
			out = append(out, c.record...)
		}
	}
	return append(out, raw...)
}

// searchRecord gives the number of the first record that does not begin below a key.
func searchRecord(raw []byte, size int, key []byte) int {
	return sort.Search(len(raw)/size, func(i int) bool { return bytes.Compare(raw[i*size:i*size+len(key)], key) >= 0 })
}

// lastOf joins lists of changes to one: of each key the last change counts.
func lastOf(key int, lists ...[]sortedChange) []sortedChange {
	if len(lists) == 1 {
		return lists[0]
	}
	last := map[string]sortedChange{}
	for _, list := range lists {
		for _, c := range list {
			last[string(c.record[:key])] = c
		}
	}
	return slices.SortedFunc(maps.Values(last), func(a, b sortedChange) int { return bytes.Compare(a.record[:key], b.record[:key]) })
}

// claimChanges are encoded claims as changes to the claims that stand.
func claimChanges(raw []byte) []sortedChange {
	out := make([]sortedChange, 0, len(raw)/voprf.ClaimSize)
	for ; len(raw) > 0; raw = raw[voprf.ClaimSize:] {
		gone := bytes.Equal(raw[liveKey:voprf.ClaimSize], make([]byte, voprf.ClaimSize-liveKey))
		out = append(out, sortedChange{raw[:liveRecord], gone})
	}
	return out
}

// standingLive reads the claims that stand before a session.
func (n *Node) standingLive(ctx context.Context, s *session) ([]byte, error) {
	raw, later, err := n.foundation(ctx, s, setLive, setClaims)
	if err != nil {
		return nil, err
	}
	if len(raw)%liveRecord != 0 {
		return nil, errDamaged(true)
	}
	lists := make([][]sortedChange, len(later))
	for i, claims := range later {
		if len(claims)%voprf.ClaimSize != 0 {
			return nil, errDamaged(true)
		}
		lists[i] = claimChanges(claims)
	}
	if len(lists) == 0 {
		return raw, nil
	}
	return foldSorted(raw, liveRecord, liveKey, lastOf(liveKey, lists...)), nil
}

// applyClaims applies claims that were checked, encoded as raw, to those that stood.
func applyClaims(stood []byte, claims []voprf.Claim, raw []byte) ([]byte, error) {
	changes := claimChanges(raw)
	for i := range claims {
		at := searchRecord(stood, liveRecord, changes[i].record[:liveKey]) * liveRecord
		stands := at < len(stood) && bytes.Equal(stood[at:at+liveKey], changes[i].record[:liveKey])
		switch {
		case claims[i].Withdrawn() && !stands:
			return nil, fail(CodeMismatch, "claim %d takes back what was never claimed", i)
		case !claims[i].Withdrawn() && stands:
			return nil, fail(CodeMismatch, "claim %d was made before in this epoch", i)
		}
	}
	now := foldSorted(stood, liveRecord, liveKey, changes)
	for _, c := range changes {
		point := c.record[:8]
		count := 0
		for i := searchRecord(now, liveRecord, point) * liveRecord; i < len(now) && bytes.Equal(now[i:i+8], point); i += liveRecord {
			count++
		}
		if count > voprf.MaxRowsPerPoint {
			return nil, fail(CodeMismatch, "%d rows claim point %d of set %d, at most %d may", count, binary.BigEndian.Uint32(point[4:]), binary.BigEndian.Uint32(point), voprf.MaxRowsPerPoint)
		}
	}
	return now, nil
}

func rootOf(data []byte, size int) (string, error) {
	c, err := merkle.Commit(data, size)
	if err != nil {
		return "", err
	}
	return c.Root.String(), nil
}

// rowPair is a pair of contacts, by the initiator's row and the responder's: what an encoded answer begins with.
type rowPair struct{ initiator, responder answer.Row }

const pairSize = 2 * answer.RowSize

func rowsOf(a *answer.Answer) rowPair { return rowPair{a.Initiator, a.Responder} }

// answerAt reads an answer from a list that this node has made or checked.
func answerAt(b []byte) answer.Answer {
	return answer.Answer{
		Initiator: answer.Row(b), Responder: answer.Row(b[answer.RowSize:]), Keys: binary.BigEndian.Uint32(b[pairSize:]), Tier: answer.Tier(b[pairSize+4]),
	}
}

// answersOf gives the answers about one of the initiator's rows in a sorted list.
func answersOf(raw []byte, row *answer.Row) (out []answer.Answer) {
	for i := searchRecord(raw, answer.Size, row[:]) * answer.Size; i < len(raw) && bytes.Equal(raw[i:i+answer.RowSize], row[:]); i += answer.Size {
		out = append(out, answerAt(raw[i:]))
	}
	return out
}

// findAnswer finds the answer about a pair in a sorted list.
func findAnswer(raw []byte, p rowPair) (answer.Answer, bool) {
	for _, a := range answersOf(raw, &p.initiator) {
		if a.Responder == p.responder {
			return a, true
		}
	}
	return answer.Answer{}, false
}

// answerChanges are encoded answers as changes to the result that stands.
func answerChanges(raw []byte) []sortedChange {
	out := make([]sortedChange, 0, len(raw)/answer.Size)
	for ; len(raw) > 0; raw = raw[answer.Size:] {
		a := answerAt(raw)
		if a.Tier == answer.Withdrawn && a.Responder == (answer.Row{}) {
			continue // about a claim, not a pair
		}
		out = append(out, sortedChange{raw[:answer.Size], a.Tier == answer.Withdrawn})
	}
	return out
}

// standingResult reads the pairs that stand before a session.
func (n *Node) standingResult(ctx context.Context, s *session) ([]byte, error) {
	raw, later, err := n.foundation(ctx, s, setResult, setAnswers)
	if err != nil {
		return nil, err
	}
	if len(raw)%answer.Size != 0 {
		return nil, errDamaged(true)
	}
	lists := make([][]sortedChange, len(later))
	for i, answers := range later {
		if len(answers)%answer.Size != 0 {
			return nil, errDamaged(true)
		}
		lists[i] = answerChanges(answers)
	}
	if len(lists) == 0 {
		return raw, nil
	}
	return foldSorted(raw, answer.Size, pairSize, lastOf(pairSize, lists...)), nil
}

// changedAnswers says what is otherwise in the answers about some rows than in the result that stood before; withdrawn are rows that claimed a contact which is no more.
func changedAnswers(before []byte, rows map[answer.Row]struct{}, now []answer.Answer, withdrawn map[answer.Row]bool) ([]byte, error) {
	stood := map[rowPair]answer.Answer{}
	if len(before) > 0 {
		for row := range rows {
			for _, a := range answersOf(before, &row) {
				stood[rowsOf(&a)] = a
			}
		}
	}
	var out []answer.Answer
	for _, a := range now {
		if was, ok := stood[rowsOf(&a)]; !ok || was != a {
			out = append(out, a)
		}
		delete(stood, rowsOf(&a))
	}
	for p := range stood {
		out = append(out, answer.Answer{Initiator: p.initiator, Responder: p.responder, Tier: answer.Withdrawn})
	}
	for row := range withdrawn {
		out = append(out, answer.Answer{Initiator: row, Tier: answer.Withdrawn})
	}
	return answer.Encode(out)
}

// applyAnswers applies changes to the result that stood before, and gives the whole one. What the changes say is checked against it, and that a withdrawn
// contact was claimed; the pairs themselves are not checked here.
func applyAnswers(before, changes []byte, mine claimed) ([]byte, error) {
	changed, err := answer.Decode(nil, changes)
	if err != nil {
		return nil, &Error{Code: CodeCommitment, Detail: "the answers are not well-formed", Err: err}
	}
	for i, a := range changed {
		was, ok := findAnswer(before, rowsOf(&a))
		switch {
		case a.Tier == answer.Withdrawn && a.Responder == answer.Row{}:
			if _, ok := mine[a.Initiator]; !ok {
				return nil, fail(CodeMismatch, "answer %d is about a contact that was not claimed", i)
			}
		case a.Tier == answer.Withdrawn && !ok:
			return nil, fail(CodeMismatch, "answer %d takes back a pair that was never answered", i)
		case a.Tier != answer.Withdrawn && ok && was == a:
			return nil, fail(CodeMismatch, "answer %d repeats what stands", i)
		}
	}
	return foldSorted(before, answer.Size, pairSize, answerChanges(changes)), nil
}

func (s *session) counts() counts { return counts{s.Pairs, s.Maybes, s.InCommon, s.Possible} }

func (s *session) setCounts(c counts) {
	s.Pairs, s.Maybes, s.InCommon, s.Possible = c.Pairs, c.Maybes, c.InCommon, c.Possible
}

// after counts a result anew, of which only some answers are otherwise than in the one before.
func (c counts) after(role Role, before, now, changes []byte) counts {
	at := 0
	if role == Responder {
		at = answer.RowSize
	}
	own := newPrefixes(len(changes) / answer.Size)
	concerned := map[answer.Row][2]answer.Tier{} // own rows: the best tier before and now
	for _, change := range answerChanges(changes) {
		own.add(change.record[at:])
		concerned[answer.Row(change.record[at:])] = [2]answer.Tier{}
	}
	for i, list := range [2][]byte{before, now} {
		sign := uint64(1)
		if i == 0 {
			sign = ^uint64(0) // minus one
		}
		for ; len(list) > 0; list = list[answer.Size:] {
			if !own.has(list[at:]) {
				continue
			}
			row := answer.Row(list[at:])
			best, ok := concerned[row]
			if !ok {
				continue
			}
			tier := answer.Tier(list[pairSize+4])
			if tier == answer.Match {
				c.Pairs += sign
			} else {
				c.Maybes += sign
			}
			best[i] = max(best[i], tier)
			concerned[row] = best
		}
	}
	for _, best := range concerned {
		for i, by := range [2]int{-1, 1} {
			switch best[i] {
			case answer.Match:
				c.InCommon += by
			case answer.Possible:
				c.Possible += by
			}
		}
	}
	return c
}
