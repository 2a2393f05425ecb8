package exchange

import (
	"cmp"
	"encoding/hex"
	"math/bits"
	"slices"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/noise"
)

// pair is one of the own contacts and one row of the peer, with the match keys on which they agree.
type pair struct {
	contact uint64
	row     answer.Row // the peer's
	keys    uint32
	tier    contacts.Tier
	own     answer.Row // in voprf
}

type pairKey struct {
	contact uint64
	row     answer.Row
}

// pairing collects which keys agree for which pair, and applies the profile's tier rule.
type pairing map[pairKey]uint32

func (g pairing) pairs(p *contacts.Profile) []pair {
	out := make([]pair, 0, len(g))
	for k, keys := range g {
		if tier := p.Tier(keys); tier != contacts.TierNone {
			out = append(out, pair{contact: k.contact, row: k.row, keys: keys, tier: tier})
		}
	}
	slices.SortFunc(out, func(a, b pair) int {
		return cmp.Or(cmp.Compare(b.tier, a.tier), cmp.Compare(bits.OnesCount32(b.keys), bits.OnesCount32(a.keys)),
			cmp.Compare(a.contact, b.contact), slices.Compare(a.row[:], b.row[:]))
	})
	return out
}

// pairsFromClaims is the initiator's part: every claim is checked against the own set, then the tier rule says which pairs are
// matches. One claim that is not true ends the exchange: whoever makes one is not honest about any.
func pairsFromClaims(p *contacts.Profile, own *ownSet, seed, transcript [32]byte, data []byte) ([]pair, error) {
	digests := own.digests()
	set, err := noise.Build(digests, seed)
	if err != nil {
		return nil, err
	}
	claims, err := noise.DecodeClaims(nil, data, set.Len())
	if err != nil {
		return nil, &Error{Code: CodeCommitment, Detail: "the other node's claims are not well-formed", Err: err}
	}
	agreed := pairing{}
	for _, c := range claims {
		digest, err := set.Verify(c, &transcript)
		if err != nil {
			return nil, &Error{Code: CodeMismatch, Detail: "the other node claims a contact that it does not know; its result is refused", Err: err}
		}
		for _, h := range own.holders(&digests[digest]) {
			agreed[pairKey{h.contact, c.Row}] |= 1 << h.key
		}
	}
	return agreed.pairs(p), nil
}

// disclosed leaves possible matches out where the agreement says so.
func (s *session) disclosed(pairs []pair) []pair {
	if !s.HidePossibles {
		return pairs
	}
	return slices.DeleteFunc(pairs, func(p pair) bool { return p.tier != contacts.TierMatch })
}

// encodeAnswers writes the pairs as the initiator's answers.
func encodeAnswers(pairs []pair, seed [32]byte) ([]byte, error) {
	out := make([]answer.Answer, len(pairs))
	for i, p := range pairs {
		out[i] = answer.Answer{Initiator: rowOf(seed, p.contact), Responder: p.row, Keys: p.keys, Tier: answerTier(p.tier)}
	}
	return answer.Encode(out)
}

func answerTier(t contacts.Tier) answer.Tier {
	if t == contacts.TierMatch {
		return answer.Match
	}
	return answer.Possible
}

// claimed is what a side claimed: by its own row, the contact and the keys.
type claimed map[answer.Row]struct {
	contact uint64
	keys    uint32
}

// pairsFromAnswers is the part of the side that claimed: the answers must be about rows that it claimed and keys that it claimed for them,
// in the tier that the profile's rule gives. Which digests of the other side belong to one contact there is
// asserted by the other side and cannot be checked. rows says which row of an answer is the own one.
func pairsFromAnswers(p *contacts.Profile, mine claimed, data []byte, rows func(a *answer.Answer) (own, theirs answer.Row)) ([]pair, error) {
	answers, err := answer.Decode(nil, data)
	if err != nil {
		return nil, &Error{Code: CodeCommitment, Detail: "the answers are not well-formed", Err: err}
	}
	out := make([]pair, 0, len(answers))
	for i := range answers {
		a := &answers[i]
		own, theirs := rows(a)
		if a.Tier == answer.Withdrawn {
			// Of a contact that the responder had when it published its tag, and has no more.
			if _, ok := mine[own]; !ok {
				return nil, fail(CodeMismatch, "answer %d is about a contact that was not claimed", i)
			}
			continue
		}
		c, ok := mine[own]
		if !ok || a.Keys&^c.keys != 0 {
			return nil, fail(CodeMismatch, "answer %d is about a contact or a match key that was not claimed", i)
		}
		tier := p.Tier(a.Keys)
		if tier == contacts.TierNone || answerTier(tier) != a.Tier {
			return nil, fail(CodeMismatch, "answer %d states another tier than the profile's rule gives", i)
		}
		out = append(out, pair{c.contact, theirs, a.Keys, tier, own})
	}
	return out, nil
}

// match is a pair as people see it.
func (q *pair) match(p *contacts.Profile) Match {
	return Match{Contact: q.contact, Row: hex.EncodeToString(q.row[:]), Tier: q.tier.String(), Keys: p.KeyNames(q.keys)}
}

// setResult counts what an exchange found, and gives it as matches to be kept.
func (s *session) setResult(p *contacts.Profile, pairs []pair) found {
	var f found
	best := map[uint64]contacts.Tier{}
	s.setCounts(counts{})
	for _, q := range pairs {
		f.matches = append(f.matches, keptMatch{Match: q.match(p)})
		best[q.contact] = max(best[q.contact], q.tier)
		if q.tier == contacts.TierMatch {
			s.Pairs++
		} else {
			s.Maybes++
		}
	}
	for _, t := range best {
		if t == contacts.TierMatch {
			s.InCommon++
		} else {
			s.Possible++
		}
	}
	return f
}

// checkedResult counts what the answers say, and holds it against what their commitment stated.
func (s *session) checkedResult(p *contacts.Profile, pairs []pair) (found, error) {
	stated := s.counts()
	f := s.setResult(p, pairs)
	return f, s.checkCounts(stated)
}

// checkCounts holds the numbers of a result against what was stated of it.
func (s *session) checkCounts(stated counts) error {
	if s.HidePossibles && s.Maybes > 0 {
		return fail(CodeMismatch, "possible matches are disclosed, which the agreement does not allow")
	}
	if s.Pairs != stated.Pairs || s.Maybes != stated.Maybes {
		return fail(CodeMismatch, "the answers are not as many matches and possibles as was stated")
	}
	return nil
}
