package contacts

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
)

// MaxShared is how many contacts of one list may share a digest before it is left out of matching between lists: a digest that
// more share identifies nobody, and shows how frequent a name is.
const MaxShared = 3

// MaxDuplicates is how many contacts of one list may share a digest before [Duplicates] leaves it out. Every two of them
// are a pair: it bounds what one digest can ask of a person to some 200 decisions.
const MaxDuplicates = 20

// ErrProfileMismatch is returned where digests of different profiles meet.
var ErrProfileMismatch = errors.New("contacts: the lists are under different matching profiles")

// Digests are the digests of a list of contacts under one profile. Contacts are known by their place in the list.
type Digests struct {
	profile [32]byte
	start   []uint32 // of each contact in all; one more than contacts
	all     []KeyDigest
}

// NewDigests makes an empty list with room for some contacts.
func NewDigests(p *Profile, capacity int) *Digests {
	return &Digests{
		profile: p.digest,
		start:   append(make([]uint32, 0, capacity+1), 0),
		all:     make([]KeyDigest, 0, capacity*p.NumKeys()),
	}
}

// Append adds the next contact's digests.
func (d *Digests) Append(digests []KeyDigest) {
	d.all = append(d.all, digests...)
	d.start = append(d.start, uint32(len(d.all)))
}

// Len is the number of contacts.
func (d *Digests) Len() int { return len(d.start) - 1 }

// At gives contact i's digests; they must not be changed.
func (d *Digests) At(i int) []KeyDigest { return d.all[d.start[i]:d.start[i+1]] }

// Progress is told how much of some work is done. It may be nil; it is called from one goroutine at a time.
type Progress func(done, total int)

// EncodeAll makes the digests of a list, with all cores.
func EncodeAll(ctx context.Context, p *Profile, list []Contact, progress Progress) (*Digests, error) {
	const batch = 1024
	batches := (len(list) + batch - 1) / batch
	parts := make([]*Digests, batches)
	var next, done atomic.Int64
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), batches) {
		wg.Go(func() {
			e := p.NewEncoder()
			buf := make([]KeyDigest, 0, MaxKeys)
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= batches {
					return
				}
				from, to := i*batch, min((i+1)*batch, len(list))
				part := NewDigests(p, to-from)
				for j := from; j < to; j++ {
					buf = e.Digests(buf[:0], &list[j])
					part.Append(buf)
				}
				parts[i] = part
				n := done.Add(int64(to - from))
				if progress != nil {
					mu.Lock()
					progress(int(n), len(list))
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	total := 0
	for _, part := range parts {
		total += len(part.all)
	}
	d := &Digests{profile: p.digest, start: make([]uint32, 1, len(list)+1), all: make([]KeyDigest, 0, total)}
	for i, part := range parts {
		base := uint32(len(d.all))
		d.all = append(d.all, part.all...)
		for _, s := range part.start[1:] {
			d.start = append(d.start, base+s)
		}
		parts[i] = nil
	}
	return d, nil
}

// Pair is two contacts that agree in some keys, by their places in the lists.
type Pair struct {
	A, B int
	Keys uint32 // bit i for key i
	Tier Tier
}

// Match finds the pairs of contacts of two lists that are a match or a possible match, in the order of A and then B. A
// digest that more than [MaxShared] contacts of one list share is left out.
func Match(ctx context.Context, p *Profile, a, b *Digests, progress Progress) ([]Pair, error) {
	if a.profile != p.digest || b.profile != p.digest {
		return nil, ErrProfileMismatch
	}
	report := newReport(progress, 4)
	sorted, err := sortAll(ctx, report, a, b)
	if err != nil {
		return nil, fmt.Errorf("matching: %w", err)
	}
	var hits []hit
	sa, sb := sorted[0], sorted[1]
	for i, j, n := 0, 0, 0; i < len(sa) && j < len(sb); n++ {
		if n&0xfffff == 0xfffff && ctx.Err() != nil {
			return nil, fmt.Errorf("matching: %w", ctx.Err())
		}
		if c := a.compare(sa[i], b, sb[j]); c < 0 {
			i++
			continue
		} else if c > 0 {
			j++
			continue
		}
		ie, je := a.run(sa, i), b.run(sb, j)
		if ie-i <= MaxShared && je-j <= MaxShared {
			for _, x := range sa[i:ie] {
				for _, y := range sb[j:je] {
					hits = append(hits, hit{x.row, y.row, a.all[x.at].Key})
				}
			}
		}
		i, j = ie, je
	}
	report.step()
	pairs := p.pairs(hits)
	report.step()
	return pairs, nil
}

// Duplicates finds the pairs of contacts of one list that are a match or a possible match, A before B. A digest that
// more than [MaxDuplicates] share is left out.
func Duplicates(ctx context.Context, p *Profile, d *Digests, progress Progress) ([]Pair, error) {
	if d.profile != p.digest {
		return nil, ErrProfileMismatch
	}
	report := newReport(progress, 3)
	sorted, err := sortAll(ctx, report, d)
	if err != nil {
		return nil, fmt.Errorf("looking for duplicates: %w", err)
	}
	var hits []hit
	s := sorted[0]
	for i := 0; i < len(s); {
		end := d.run(s, i)
		if end-i <= MaxDuplicates {
			for x := i; x < end; x++ {
				for y := x + 1; y < end; y++ {
					a, b := s[x].row, s[y].row
					hits = append(hits, hit{min(a, b), max(a, b), d.all[s[x].at].Key})
				}
			}
		}
		i = end
	}
	report.step()
	pairs := p.pairs(hits)
	report.step()
	return pairs, nil
}

// sortedDigest is a digest in the order of digests: its first bytes, where it is, and whose.
type sortedDigest struct {
	prefix  uint64
	at, row uint32
}

// sortAll sorts the digests of each list, side by side.
func sortAll(ctx context.Context, report *report, lists ...*Digests) ([][]sortedDigest, error) {
	sorted := make([][]sortedDigest, len(lists))
	var wg sync.WaitGroup
	for i, d := range lists {
		wg.Go(func() {
			s := make([]sortedDigest, 0, len(d.all))
			for row := range d.Len() {
				for at := d.start[row]; at < d.start[row+1]; at++ {
					s = append(s, sortedDigest{binary.BigEndian.Uint64(d.all[at].Digest[:]), at, uint32(row)})
				}
			}
			if ctx.Err() != nil {
				return
			}
			slices.SortFunc(s, func(x, y sortedDigest) int {
				if x.prefix != y.prefix {
					return cmp.Compare(x.prefix, y.prefix)
				}
				if c := d.compare(x, d, y); c != 0 {
					return c
				}
				return cmp.Compare(x.row, y.row)
			})
			sorted[i] = s
			report.step()
		})
	}
	wg.Wait()
	return sorted, ctx.Err()
}

func (d *Digests) compare(x sortedDigest, other *Digests, y sortedDigest) int {
	if x.prefix != y.prefix {
		return cmp.Compare(x.prefix, y.prefix)
	}
	return bytes.Compare(d.all[x.at].Digest[:], other.all[y.at].Digest[:])
}

// run gives the end of the run of equal digests that begins at i.
func (d *Digests) run(s []sortedDigest, i int) int {
	end := i + 1
	for end < len(s) && d.compare(s[i], d, s[end]) == 0 {
		end++
	}
	return end
}

// hit is one key in which two contacts agree.
type hit struct {
	a, b uint32
	key  uint8
}

// pairs gathers the hits of each two contacts and applies the tier rule.
func (p *Profile) pairs(hits []hit) []Pair {
	slices.SortFunc(hits, func(x, y hit) int {
		if x.a != y.a {
			return cmp.Compare(x.a, y.a)
		}
		return cmp.Compare(x.b, y.b)
	})
	var pairs []Pair
	for i := 0; i < len(hits); {
		pair := Pair{A: int(hits[i].a), B: int(hits[i].b)}
		for j := i; i < len(hits) && hits[i].a == hits[j].a && hits[i].b == hits[j].b; i++ {
			pair.Keys |= 1 << hits[i].key
		}
		if pair.Tier = p.Tier(pair.Keys); pair.Tier != TierNone {
			pairs = append(pairs, pair)
		}
	}
	return pairs
}

// report counts the steps of some work.
type report struct {
	mu          sync.Mutex
	progress    Progress
	done, total int
}

func newReport(progress Progress, total int) *report {
	return &report{progress: progress, total: total}
}

func (r *report) step() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	if r.progress != nil {
		r.progress(r.done, r.total)
	}
}
