package bench

import (
	"context"
	"crypto/rand"
	"fmt"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
	"ihyid/exchange/voprf"
)

// outputsAtOnce is how many outputs are computed between two reports.
const outputsAtOnce = 1 << 13

func playVOPRF(ctx context.Context, r *run) error {
	n, m := r.Initiator, r.Responder
	var tagSeed, blindSeed [32]byte
	rand.Read(tagSeed[:])
	rand.Read(blindSeed[:])

	var key *voprf.Key
	var tags *voprf.TagSet
	var tagsSent *merkle.Commitment
	ours := make([]voprf.Output, m)
	err := r.stage(Responder, "compute and commit to tags", m, "digests", func(tell func(uint64)) (err error) {
		if key, err = voprf.NewKey(); err != nil {
			return err
		}
		for i := 0; i < m; i += outputsAtOnce {
			to := min(i+outputsAtOnce, m)
			if err := key.Outputs(ctx, r.ours[i:to], ours[i:to]); err != nil {
				return err
			}
			tell(uint64(to))
		}
		if tags, err = voprf.NewTagSet(ours, tagSeed); err != nil {
			return err
		}
		tagsSent, err = r.sendCommitment(Responder, tags.Tags, voprf.TagSize)
		r.send(Responder, voprf.PointSize)
		return err
	})
	if err != nil {
		return err
	}

	var pk *voprf.PublicKey
	var set *voprf.BlindedSet
	var setSent *merkle.Commitment
	err = r.stage(Initiator, "blind and commit", n, "digests", func(tell func(uint64)) (err error) {
		if pk, err = voprf.ParsePublicKey(key.Public().Bytes()); err != nil {
			return err
		}
		set, err = voprf.Blind(ctx, r.theirs, blindSeed, func(done int) { tell(uint64(min(done, n))) })
		if err != nil {
			return err
		}
		setSent, err = r.sendCommitment(Initiator, set.Points, voprf.PointSize)
		return err
	})
	if err != nil {
		return err
	}

	type evaluation struct {
		points []byte
		proof  voprf.Proof
	}
	var evaluations []evaluation
	err = r.stage(Responder, "verify chunks and evaluate", set.Len(), "points", func(tell func(uint64)) error {
		done := 0
		return receive(ctx, setSent, set.Points, func(_ int, chunk []byte) error {
			points, proof, err := key.Evaluate(ctx, chunk)
			if err != nil {
				return err
			}
			evaluations = append(evaluations, evaluation{points, proof})
			r.send(Responder, len(points)+len(proof))
			done += len(chunk) / voprf.PointSize
			tell(uint64(done))
			return nil
		})
	})
	if err != nil {
		return err
	}

	theirs := make([]voprf.Output, n)
	err = r.stage(Initiator, "verify proofs and unblind", set.Len(), "points", func(tell func(uint64)) error {
		done := 0
		for i, e := range evaluations {
			if err := set.Unblind(ctx, pk, i, e.points, e.proof[:], theirs); err != nil {
				return err
			}
			done += len(e.points) / voprf.PointSize
			tell(uint64(done))
		}
		return nil
	})
	if err != nil {
		return err
	}

	var claims []byte
	var claimsSent *merkle.Commitment
	err = r.stage(Initiator, "match and claim", n, "digests", func(func(uint64)) error {
		err := receive(ctx, tagsSent, tags.Tags, func(int, []byte) error { return nil })
		if err != nil {
			return err
		}
		var list []voprf.Claim
		for _, i := range voprf.Common(theirs, tags.Tags) {
			c, err := set.Claim(0, i, row(Initiator, i), &theirs[i], &r.transcript)
			if err != nil {
				return err
			}
			list = append(list, c)
		}
		if claims, err = voprf.EncodeClaims(list); err != nil {
			return err
		}
		claimsSent, err = r.sendCommitment(Initiator, claims, voprf.ClaimSize)
		return err
	})
	if err != nil {
		return err
	}

	var found [][2]int
	var answers []byte
	err = r.stage(Responder, "check claims and answer", len(claims)/voprf.ClaimSize, "claims", func(tell func(uint64)) error {
		var before []voprf.Claim
		err := receive(ctx, claimsSent, claims, func(_ int, chunk []byte) error {
			list, err := voprf.DecodeClaims(before, chunk, []uint32{uint32(set.Len())})
			if err != nil {
				return err
			}
			list = list[len(before):]
			openings := make([]voprf.Opening, len(list))
			for k, c := range list {
				i, ok := tags.Lookup(c.Tag)
				if !ok {
					return fmt.Errorf("a claim of no tag: %w", ErrResult)
				}
				openings[k] = voprf.Opening{
					Claim:  c,
					Point:  [voprf.PointSize]byte(set.Points[int(c.Index)*voprf.PointSize:]),
					Digest: &r.ours[i],
					Output: &ours[i],
				}
				j, _ := set.Digest(int(c.Index))
				found = append(found, [2]int{j, i})
			}
			untrue, err := voprf.CheckClaims(ctx, &r.transcript, openings)
			if err != nil {
				return err
			}
			if len(untrue) > 0 {
				return fmt.Errorf("%d claims are not true: %w", len(untrue), ErrResult)
			}
			before = list[max(0, len(list)-2*voprf.MaxRowsPerPoint):]
			tell(uint64(len(found)))
			return nil
		})
		if err != nil {
			return err
		}
		if answers, err = pairs(found); err != nil {
			return err
		}
		_, err = r.sendCommitment(Responder, answers, answer.Size)
		return err
	})
	if err != nil {
		return err
	}
	return r.stage(Initiator, "read answers", len(answers)/answer.Size, "answers", func(func(uint64)) error {
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
