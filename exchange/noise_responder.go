package exchange

import (
	"context"
	"errors"
	"time"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/store"
	"ihyid/store/jobs"
)

// commitNoise commits to the own digests without ever sending them: an auditor could have it opened.
func (n *Node) commitNoise(ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*committed, error) {
	own, err := n.take(ctx, s, p, t.Progress)
	if err != nil {
		return nil, err
	}
	set, err := noise.Build(own.now.digests(), s.seed32())
	if err != nil {
		return nil, err
	}
	commitment, err := merkle.Commit(set.Entries, noise.EntrySize)
	return &committed{own: own, commitment: commitment}, err
}

func (n *Node) onClaims(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, r.Previous, r.Transcript, r.Exchange, kindClaimsReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolNoise || s.State != StateClaiming {
			return nil, nil, nil, notYet(s)
		}
		s.Claimed = true
		return setSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript, Commitment: *s.Sets[setClaims]}, nil, nil, nil
	})
}

// matchCursor is how far a matching job is: it can go on from there after a restart.
type matchCursor struct {
	Next int         `json:"next"`
	Hits []noise.Hit `json:"hits"`
}

// matchNoise tries every own digest on every entry of the bundle and makes a claim of every hit.
func (n *Node) matchNoise(ctx context.Context, t *jobs.Task, s *session) error {
	taken, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	own, digests := taken.now, taken.now.digests()
	entries, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return err
	}
	var cursor matchCursor
	if _, err := t.Cursor(&cursor); err != nil {
		return err
	}
	saved := n.now()
	err = noise.NewMatcher(digests).Match(ctx, entries, cursor.Next, func(step noise.Step) error {
		cursor.Next, cursor.Hits = step.Next, append(cursor.Hits, step.Hits...)
		t.Progress(uint64(step.Next), uint64(step.Total))
		if n.now().Sub(saved) < 10*time.Second {
			return nil
		}
		saved = n.now()
		return n.store.Update(ctx, func(tx *store.Tx) error {
			return t.Save(tx, cursor, uint64(step.Next), uint64(step.Total))
		})
	})
	if err != nil {
		return err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	var claims []noise.Claim
	for _, h := range cursor.Hits {
		for _, holder := range own.holders(&digests[h.Digest]) {
			c, err := noise.NewClaim(entries, h.Entry, &digests[h.Digest], rowOf(s.seed32(), holder.contact), &transcript)
			if err != nil {
				return err
			}
			claims = append(claims, c)
		}
	}
	data, err := noise.EncodeClaims(claims)
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(data, noise.ClaimSize)
	if err != nil {
		return err
	}
	return n.advance(ctx, s, StateMatching, func(tx *store.Tx, s *session) error {
		s.Sets[setClaims], s.State = commitment, StateClaiming
		chunk := commitment.ChunkEntries * noise.ClaimSize
		return n.putSet(tx, s.ID, setClaims, data, chunk)
	})
}

func (n *Node) onAnswers(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var a setSubject
	if err := m.read(&a); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, a.Previous, a.Transcript, a.Exchange, kindAnswersReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.Protocol != ProtocolNoise || s.State != StateClaiming {
			return nil, nil, nil, notYet(s)
		}
		// Every claim concerns at most maxSharers contacts of the initiator.
		if err := a.Commitment.Validate(answer.Size, s.Sets[setClaims].Count*maxSharers); err != nil {
			return nil, nil, nil, &Error{Code: CodeCommitment, Detail: "the commitment to the answers is wrong", Err: err}
		}
		matches, err1 := parseCount(a.Matches)
		possibles, err2 := parseCount(a.Possibles)
		if err1 != nil || err2 != nil || matches+possibles != a.Commitment.Count {
			return nil, nil, nil, fail(CodeCommitment, "the numbers of matches and possibles do not add up to the number of answers")
		}
		s.Sets[setAnswers], s.State = &a.Commitment, StateAnswering
		s.Arrived[setAnswers] = make([]edges, a.Commitment.Chunks())
		s.Pairs, s.Maybes = matches, possibles
		if a.Commitment.Chunks() == 0 {
			if _, err := n.takeAnswers(ctx, s, nil); err != nil {
				return nil, nil, nil, err
			}
		}
		return stepSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript}, nil, nil, nil
	})
}

// takeAnswers checks the initiator's answers against the own claims, counts them in the session and gives the matches to be kept.
func (n *Node) takeAnswers(ctx context.Context, s *session, data []byte) (f found, err error) {
	p, err := n.sessionProfile(s)
	if err != nil {
		return f, err
	}
	mine, err := n.claimedRows(ctx, s)
	if err != nil {
		return f, err
	}
	pairs, err := pairsFromAnswers(p, mine, data, func(a *answer.Answer) (own, theirs answer.Row) { return a.Responder, a.Initiator })
	if err != nil {
		return f, err
	}
	s.State = StateReceipt
	return s.checkedResult(p, pairs)
}

// claimedRows works out again which contacts were claimed on which keys.
func (n *Node) claimedRows(ctx context.Context, s *session) (claimed, error) {
	taken, err := n.loadOwn(ctx, s)
	if err != nil {
		return nil, err
	}
	own, digests := taken.now, taken.now.digests()
	entries, err := n.getSet(ctx, s.ID, setBundle)
	if err != nil {
		return nil, err
	}
	data, err := n.getSet(ctx, s.ID, setClaims)
	if err != nil {
		return nil, err
	}
	claims, err := noise.DecodeClaims(nil, data, len(entries)/noise.EntrySize)
	if err != nil {
		return nil, err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return nil, err
	}
	contactOf := map[answer.Row]uint64{}
	holdingsOf := map[uint64][]int{}
	for i := range digests {
		for _, h := range own.holders(&digests[i]) {
			holdingsOf[h.contact] = append(holdingsOf[h.contact], i)
		}
	}
	seed := s.seed32()
	for contact := range holdingsOf {
		contactOf[rowOf(seed, contact)] = contact
	}
	out := claimed{}
	for _, c := range claims {
		contact, ok := contactOf[c.Row]
		if !ok {
			return nil, errors.New("a kept claim is of no own contact")
		}
		for _, i := range holdingsOf[contact] {
			again, err := noise.NewClaim(entries, int(c.Entry), &digests[i], c.Row, &transcript)
			if err != nil {
				return nil, err
			}
			if again.MAC != c.MAC {
				continue
			}
			for _, h := range own.holders(&digests[i]) {
				if h.contact == contact {
					got := out[c.Row]
					got.contact, got.keys = contact, got.keys|1<<h.key
					out[c.Row] = got
				}
			}
		}
	}
	return out, nil
}
