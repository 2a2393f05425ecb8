package match

import (
	"context"
	"math"
	"math/rand/v2"

	"ihyid/contacts"
)

// Estimate is how many false matches are to be expected between two lists, found with decoys; see the package's comment.
type Estimate struct {
	Match  Expected `json:"match"`
	Review Expected `json:"match_and_possible"`
	Decoys int      `json:"decoys"`     // made-up persons compared, of all rounds
	Rounds int      `json:"rounds"`     // how often the list was made up
	Left   int      `json:"left_alone"` // contacts that no first name of the list makes a decoy of; scaled for
	Method string   `json:"method"`
}

// Expected is an expected number of pairs, with the bounds of a 95 % interval.
type Expected struct {
	Pairs float64 `json:"pairs"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
}

const (
	minDecoys = 50_000 // fewer tell little: a false match in ten thousand is what we look for
	maxRounds = 10
	tries     = 24 // first names tried for a decoy
)

const method = "decoys: every contact of the second list got the first name of another, and was matched with the first list"

// Decoys estimates the false matches between two lists, the second of which was read with its contacts kept. The seed decides which names are given.
func Decoys(ctx context.Context, p *contacts.Profile, a, b *List, seed uint64) (Estimate, error) {
	e := Estimate{Method: method}
	if len(b.contacts) == 0 {
		return e, nil
	}
	e.Rounds = min(maxRounds, max(1, (minDecoys+len(b.contacts)-1)/len(b.contacts)))
	rng := rand.New(rand.NewPCG(seed, 0))
	matches, review := 0, 0
	for range e.Rounds {
		d, made, err := decoys(ctx, p, b, rng)
		if err != nil {
			return e, err
		}
		e.Decoys += made
		pairs, err := contacts.Match(ctx, p, a.Digests, d, nil)
		if err != nil {
			return e, err
		}
		review += len(pairs)
		for _, q := range pairs {
			if q.Tier == contacts.TierMatch {
				matches++
			}
		}
	}
	e.Left = e.Rounds*len(b.contacts) - e.Decoys
	if e.Decoys > 0 {
		scale := float64(len(b.contacts)) / float64(e.Decoys)
		e.Match, e.Review = expected(matches, scale), expected(review, scale)
	}
	return e, nil
}

// decoys makes one up of every contact of a list, where it can.
func decoys(ctx context.Context, p *contacts.Profile, l *List, rng *rand.Rand) (*contacts.Digests, int, error) {
	out := contacts.NewDigests(p, len(l.contacts))
	made := 0
	batch := make([]contacts.Contact, 0, readBatch)
	for from := 0; from < len(l.contacts); from += readBatch {
		to := min(from+readBatch, len(l.contacts))
		// Nearly all first tries are good: they are encoded together, on all cores, and only the others again one by one.
		batch = batch[:0]
		for i := from; i < to; i++ {
			batch = append(batch, l.decoy(i, rng))
		}
		d, err := contacts.EncodeAll(ctx, p, batch, nil)
		if err != nil {
			return nil, 0, err
		}
		enc := p.NewEncoder()
		var buf []contacts.KeyDigest
		for i := from; i < to; i++ {
			digests, own := d.At(i-from), l.Digests.At(i)
			for range tries {
				if !agree(own, digests) {
					break
				}
				c := l.decoy(i, rng)
				buf = enc.Digests(buf[:0], &c)
				digests = buf
			}
			if agree(own, digests) {
				digests = nil
			} else {
				made++
			}
			out.Append(digests)
		}
	}
	return out, made, nil
}

// decoy is contact i with the first name of another, of the same sex if a few tries find one.
func (l *List) decoy(i int, rng *rand.Rand) contacts.Contact {
	c := l.contacts[i]
	other := &l.contacts[rng.IntN(len(l.contacts))]
	for range 8 {
		if other.Sex == c.Sex {
			break
		}
		other = &l.contacts[rng.IntN(len(l.contacts))]
	}
	c.FirstName = other.FirstName
	return c
}

// agree says whether two contacts share a digest. A contact without any agrees with all: no decoy can be made of it.
func agree(a, b []contacts.KeyDigest) bool {
	for _, x := range a {
		for _, y := range b {
			if x.Digest == y.Digest {
				return true
			}
		}
	}
	return len(a) == 0
}

// expected scales a count of rare events, with the square-root bounds of a Poisson count (Freeman and Tukey), good to
// a few per cent from none on.
func expected(n int, scale float64) Expected {
	k := float64(n)
	low := max(math.Sqrt(k)-0.98, 0)
	high := math.Sqrt(k+1) + 0.98
	return Expected{Pairs: k * scale, Low: low * low * scale, High: high * high * scale}
}
