package exchange

import (
	"context"
	"encoding/binary"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
)

// Within an epoch, claims and answers are changes: the initiator claims what it has not claimed before, and takes back what is no more; the responder answers the pairs
// that are new or otherwise, and takes back those that are no more. Both keep the whole, and the receipt has the root over it.

// Sets that stand for a whole epoch, with its last exchange; neither is ever sent.
const (
	setLive   = "live"   // all claims that stand
	setResult = "result" // all pairs that stand, as answers
)

// live is a claim that stands: the row has the digest of that point, to which the responder gave that tag.
type live struct {
	set, index uint32
	row        answer.Row
	tag        [voprf.TagSize]byte
}

const liveRecord = 4 + 4 + answer.RowSize + voprf.TagSize

func encodeLive(all []live) []byte {
	out := make([]byte, 0, len(all)*liveRecord)
	for _, l := range all {
		out = binary.BigEndian.AppendUint32(out, l.set)
		out = binary.BigEndian.AppendUint32(out, l.index)
		out = append(append(out, l.row[:]...), l.tag[:]...)
	}
	return out
}

func decodeLive(raw []byte) (map[live]struct{}, error) {
	if len(raw)%liveRecord != 0 {
		return nil, errDamaged(true)
	}
	out := make(map[live]struct{}, len(raw)/liveRecord)
	for ; len(raw) > 0; raw = raw[liveRecord:] {
		out[live{binary.BigEndian.Uint32(raw), binary.BigEndian.Uint32(raw[4:]), answer.Row(raw[8:24]), [voprf.TagSize]byte(raw[24:40])}] = struct{}{}
	}
	return out, nil
}

// standingList reads a set of the last exchange that a session builds on; nil if it sends all.
func (n *Node) standingList(ctx context.Context, s *session, set string) ([]byte, error) {
	if s.Base == "" {
		return nil, nil
	}
	e, err := n.epochOf(ctx, s)
	if err != nil {
		return nil, err
	}
	if e.base() != s.Base {
		return nil, fail(CodeEpoch, "what this exchange builds on does not stand any more; begin a new one")
	}
	return n.getSet(ctx, e.Standing[len(e.Standing)-1].Exchange, set)
}

// tagsOf finds the published digest of every tag that is claimed, or was; -1 where there is none.
func tagsOf(stood map[live]struct{}, claims []voprf.Claim, all []publishedTag) map[[voprf.TagSize]byte]int {
	out := make(map[[voprf.TagSize]byte]int, len(stood)+len(claims))
	for l := range stood {
		out[l.tag] = -1
	}
	for i := range claims {
		if !claims[i].Withdrawn() {
			out[claims[i].Tag] = -1
		}
	}
	if len(out) == 0 {
		return out
	}
	for i := range all {
		tag := all[i].output.Tag()
		if _, ok := out[tag]; ok {
			out[tag] = i
		}
	}
	return out
}

// applyClaims applies claims that were checked to those that stood.
func applyClaims(stood map[live]struct{}, claims []voprf.Claim) error {
	type place struct {
		set, index uint32
		row        answer.Row
	}
	if len(claims) == 0 {
		return nil
	}
	at := make(map[place]live, len(stood))
	rows := map[[2]uint32]int{}
	for l := range stood {
		at[place{l.set, l.index, l.row}] = l
		rows[[2]uint32{l.set, l.index}]++
	}
	for i := range claims {
		c := &claims[i]
		p, point := place{c.Set, c.Index, c.Row}, [2]uint32{c.Set, c.Index}
		l, ok := at[p]
		switch {
		case c.Withdrawn() && !ok:
			return fail(CodeMismatch, "claim %d takes back what was never claimed", i)
		case c.Withdrawn():
			delete(stood, l)
			rows[point]--
		case ok:
			return fail(CodeMismatch, "claim %d was made before in this epoch", i)
		default:
			stood[live{c.Set, c.Index, c.Row, c.Tag}] = struct{}{}
			rows[point]++
		}
	}
	for point, count := range rows {
		if count > voprf.MaxRowsPerPoint {
			return fail(CodeMismatch, "%d rows claim point %d of set %d, at most %d may", count, point[1], point[0], voprf.MaxRowsPerPoint)
		}
	}
	return nil
}

func rootOf(data []byte, size int) (string, error) {
	c, err := merkle.Commit(data, size)
	if err != nil {
		return "", err
	}
	return c.Root.String(), nil
}

type rowPair struct{ initiator, responder answer.Row }

// changedAnswers says what is otherwise in a result than in the one that stood before; withdrawn are rows that claimed a contact which is no more.
func changedAnswers(before []byte, now []answer.Answer, withdrawn map[answer.Row]bool) ([]byte, error) {
	old, err := answer.Decode(nil, before)
	if err != nil {
		return nil, err
	}
	stood := make(map[rowPair]answer.Answer, len(old))
	for _, a := range old {
		stood[rowPair{a.Initiator, a.Responder}] = a
	}
	var out []answer.Answer
	for _, a := range now {
		p := rowPair{a.Initiator, a.Responder}
		if was, ok := stood[p]; !ok || was != a {
			out = append(out, a)
		}
		delete(stood, p)
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
	old, err := answer.Decode(nil, before)
	if err != nil {
		return nil, err
	}
	changed, err := answer.Decode(nil, changes)
	if err != nil {
		return nil, &Error{Code: CodeCommitment, Detail: "the answers are not well-formed", Err: err}
	}
	result := make(map[rowPair]answer.Answer, len(old)+len(changed))
	for _, a := range old {
		result[rowPair{a.Initiator, a.Responder}] = a
	}
	for i, a := range changed {
		p := rowPair{a.Initiator, a.Responder}
		was, ok := result[p]
		switch {
		case a.Tier == answer.Withdrawn && a.Responder == answer.Row{}:
			if _, ok := mine[a.Initiator]; !ok {
				return nil, fail(CodeMismatch, "answer %d is about a contact that was not claimed", i)
			}
		case a.Tier == answer.Withdrawn && !ok:
			return nil, fail(CodeMismatch, "answer %d takes back a pair that was never answered", i)
		case a.Tier == answer.Withdrawn:
			delete(result, p)
		case ok && was == a:
			return nil, fail(CodeMismatch, "answer %d repeats what stands", i)
		default:
			result[p] = a
		}
	}
	whole := make([]answer.Answer, 0, len(result))
	for _, a := range result {
		whole = append(whole, a)
	}
	return answer.Encode(whole)
}
