package exchange

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"

	"ihyid/exchange/answer"
	"ihyid/store"
	"ihyid/store/jobs"
)

// awaitAnswers waits until the responder has checked the claims, then takes its commitment to the answers.
func (n *Node) awaitAnswers(ctx context.Context, t *jobs.Task, s *session, to peerAddress) error {
	if _, err := n.progress(ctx, t, s, to, StateAnswering, StateReceipt); err != nil {
		return err
	}
	subject := stepSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript}
	return n.ask(ctx, s, to, kindResult, kindResultReply, subject, nil, func(m *message, _ string) error {
		var a setSubject
		if err := m.read(&a); err != nil {
			return err
		}
		if a.Exchange != s.ID || a.Transcript != s.Transcript {
			return fail(CodeMismatch, "the other node's answers are of another exchange")
		}
		// Every claim that stands concerns at most maxSharers contacts of the responder; each new one may be answered as withdrawn, and each pair that stood.
		if err := a.Commitment.Validate(answer.Size, s.Live*maxSharers+s.Sets[setClaims].Count+s.BasePairs); err != nil {
			return &Error{Code: CodeCommitment, Detail: "the other node's commitment to its answers is wrong", Err: err}
		}
		matches, err1 := parseCount(a.Matches)
		possibles, err2 := parseCount(a.Possibles)
		if most := s.Live * maxSharers; err1 != nil || err2 != nil || matches > most || possibles > most-matches {
			return fail(CodeCommitment, "the numbers of matches and possibles do not add up to what the claims can give")
		}
		s.Sets[setAnswers], s.State = &a.Commitment, StateAnswering
		s.Pairs, s.Maybes = matches, possibles
		return nil
	}, nil)
}

// fetchAnswers takes the answers and holds them against the own claims.
func (n *Node) fetchAnswers(ctx context.Context, s *session, to peerAddress) error {
	data, err := n.fetchSet(ctx, s, to, setAnswers, s.Sets[setAnswers])
	if err != nil {
		return err
	}
	for {
		err := n.takeVOPRFAnswers(ctx, s, data)
		if !errors.Is(err, errPurged) {
			return err
		}
	}
}

func (n *Node) takeVOPRFAnswers(ctx context.Context, s *session, data []byte) error {
	p, err := n.sessionProfile(s)
	if err != nil {
		return err
	}
	last, err := n.predecessor(ctx, s)
	if err != nil {
		return err
	}
	before, err := n.standingResult(ctx, s)
	if err != nil {
		return err
	}
	// What stood was checked when it was answered. It is checked again where what is claimed of a contact has changed.
	mine, concerned, err := n.claimedByInitiator(ctx, s, data, &last)
	if err != nil {
		return err
	}
	whole, err := applyAnswers(before, data, mine)
	if err != nil {
		return err
	}
	if s.WholeRoot, err = rootOf(whole, answer.Size); err != nil {
		return err
	}
	checked := whole
	if concerned != nil {
		checked = nil
		for _, row := range slices.SortedFunc(maps.Keys(concerned), func(a, b answer.Row) int { return bytes.Compare(a[:], b[:]) }) {
			i := searchRecord(whole, answer.Size, row[:])
			checked = append(checked, whole[i*answer.Size:(i+len(answersOf(whole, &row)))*answer.Size]...)
		}
	}
	pairs, err := pairsFromAnswers(p, mine, checked, func(a *answer.Answer) (own, theirs answer.Row) { return a.Initiator, a.Responder })
	if err != nil {
		return err
	}
	stated := s.counts()
	s.setCounts(last.counts().after(Initiator, before, whole, data))
	if err := s.checkCounts(stated); err != nil {
		return err
	}
	result := s.found(p, pairs, last, data)
	s.State = StateReceipt
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.putMatches(tx, s, result); err != nil {
			return err
		}
		if err := n.putResult(tx, s, whole, data); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
	if errors.Is(err, errPurged) {
		s.setCounts(stated) // as it was, to be tried again
	}
	return err
}
