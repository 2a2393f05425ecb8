package exchange

import (
	"context"
	"fmt"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
	"ihyid/store"
	"ihyid/store/jobs"
)

// prepareNoise makes the entries of the protocol noise.
func (n *Node) prepareNoise(ctx context.Context, t *jobs.Task, s *session, p *contacts.Profile) (*prepared, error) {
	own, err := n.take(ctx, s, p, t.Progress)
	if err != nil {
		return nil, err
	}
	digests := own.now.digests()
	out := &prepared{own: own, entries: uint64(len(digests)), keep: map[string][]byte{}}
	if err := n.checkEntries(s.Protocol, out.entries); err != nil {
		return nil, err
	}
	bundle, err := noise.Build(digests, s.seed32())
	if err != nil {
		return nil, err
	}
	out.commitment, err = merkle.Commit(bundle.Entries, noise.EntrySize)
	return out, err
}

// ownEntries makes the entries of an own set again.
func (n *Node) ownEntries(ctx context.Context, s *session, set string) ([]byte, error) {
	if set != setBundle {
		return n.getSet(ctx, s.ID, set)
	}
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return nil, err
	}
	bundle, err := noise.Build(own.now.digests(), s.seed32())
	if err != nil {
		return nil, err
	}
	return bundle.Entries, nil
}

func (n *Node) fetchClaims(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	if _, err := n.progress(ctx, t, s, to, StateClaiming); err != nil {
		return err
	}
	subject := stepSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript}
	return n.ask(ctx, s, to, kindClaims, kindClaimsReply, subject, nil, func(m *message, _ string) error {
		var c setSubject
		if err := m.read(&c); err != nil {
			return err
		}
		if c.Exchange != s.ID || c.Transcript != s.Transcript {
			return fail(CodeMismatch, "the other node's claims are of another exchange")
		}
		if err := c.Commitment.Validate(noise.ClaimSize, maxClaims(s.OwnCount)); err != nil {
			return &Error{Code: CodeCommitment, Detail: "the other node's commitment to its claims is wrong", Err: err}
		}
		s.Sets[setClaims], s.State = &c.Commitment, StateClaiming
		return nil
	}, nil)
}

// maxClaims bounds the claims on a bundle: a digest that more than three contacts share is not sent.
func maxClaims(entries uint64) uint64 { return entries * maxSharers }

// takeClaims fetches the claims, checks every one of them, and works out the pairs.
func (n *Node) takeClaims(ctx context.Context, s *session, to peerAddress) error {
	data, err := n.fetchSet(ctx, s, to, setClaims, s.Sets[setClaims])
	if err != nil {
		return err
	}
	own, err := n.loadOwn(ctx, s)
	if err != nil {
		return err
	}
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	transcript, err := hash32(s.Transcript)
	if err != nil {
		return err
	}
	pairs, err := pairsFromClaims(p, own.now, s.seed32(), transcript, data)
	if err != nil {
		return err
	}
	pairs = s.disclosed(pairs)
	entries, err := encodeAnswers(pairs, s.seed32())
	if err != nil {
		return err
	}
	commitment, err := merkle.Commit(entries, answer.Size)
	if err != nil {
		return err
	}
	s.Sets[setAnswers], s.State = commitment, StateAnswering
	matches := s.setResult(p, pairs)
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putMatches(tx, s, matches); err != nil {
			return err
		}
		if err := n.putSet(tx, s.ID, setAnswers, entries, merkle.MaxChunkBytes); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
}

func (n *Node) sendAnswers(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	sent, err := n.hasLetter(ctx, s, kindAnswersReply)
	if err != nil {
		return err
	}
	if !sent {
		subject := setSubject{
			Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript, Commitment: *s.Sets[setAnswers],
			Matches: fmt.Sprint(s.Pairs), Possibles: fmt.Sprint(s.Maybes),
		}
		err := n.ask(ctx, s, to, kindAnswers, kindAnswersReply, subject, nil, func(m *message, _ string) error {
			var r stepSubject
			if err := m.read(&r); err != nil {
				return err
			}
			if r.Exchange != s.ID || r.Transcript != s.Transcript {
				return fail(CodeMismatch, "the other node's answer is about another exchange")
			}
			return nil
		}, nil)
		if err != nil {
			return err
		}
	}
	return n.sendChunks(ctx, t, s, to, setAnswers, StateReceipt)
}
