package bench

import (
	"context"
	"crypto/rand"
	"fmt"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/noise"
)

func playNoise(ctx context.Context, r *run) error {
	n, m := r.Initiator, r.Responder
	var seed [32]byte
	rand.Read(seed[:])

	var set *noise.Set
	var setSent *merkle.Commitment
	err := r.stage(Initiator, "make and commit to entries", n, "digests", func(func(uint64)) (err error) {
		if set, err = noise.Build(r.theirs, seed); err != nil {
			return err
		}
		setSent, err = r.sendCommitment(Initiator, set.Entries, noise.EntrySize)
		return err
	})
	if err != nil {
		return err
	}

	var claims []byte
	var claimsSent *merkle.Commitment
	rows := make(map[answer.Row]int) // the responder's contact of each row
	err = r.stage(Responder, "verify chunks, match and claim", set.Len()*m, "pairs", func(tell func(uint64)) error {
		err := receive(ctx, setSent, set.Entries, func(int, []byte) error { return nil })
		if err != nil {
			return err
		}
		var hits []noise.Hit
		var pairs uint64
		err = noise.NewMatcher(r.ours).Match(ctx, set.Entries, 0, func(s noise.Step) error {
			hits = append(hits, s.Hits...)
			pairs += s.Pairs
			tell(pairs)
			return nil
		})
		if err != nil {
			return err
		}
		var list []noise.Claim
		for _, h := range hits {
			c, err := noise.NewClaim(set.Entries, h.Entry, &r.ours[h.Digest], row(Responder, h.Digest), &r.transcript)
			if err != nil {
				return err
			}
			rows[c.Row] = h.Digest
			list = append(list, c)
		}
		if claims, err = noise.EncodeClaims(list); err != nil {
			return err
		}
		claimsSent, err = r.sendCommitment(Responder, claims, noise.ClaimSize)
		return err
	})
	if err != nil {
		return err
	}

	var found [][2]int
	var answers []byte
	err = r.stage(Initiator, "check claims and answer", len(claims)/noise.ClaimSize, "claims", func(func(uint64)) error {
		var list []noise.Claim
		err := receive(ctx, claimsSent, claims, func(_ int, chunk []byte) (err error) {
			list, err = noise.DecodeClaims(list, chunk, set.Len())
			return err
		})
		if err != nil {
			return err
		}
		for _, c := range list {
			i, err := set.Verify(c, &r.transcript)
			if err != nil {
				return err
			}
			found = append(found, [2]int{i, rows[c.Row]})
		}
		if answers, err = pairs(found); err != nil {
			return err
		}
		_, err = r.sendCommitment(Initiator, answers, answer.Size)
		return err
	})
	if err != nil {
		return err
	}
	return r.stage(Responder, "read answers", len(answers)/answer.Size, "answers", func(func(uint64)) error {
		list, err := answer.Decode(nil, answers)
		if err != nil {
			return err
		}
		if len(list) != len(found) {
			return fmt.Errorf("%d answers of %d: %w", len(list), len(found), ErrResult)
		}
		return r.check(found)
	})
}
