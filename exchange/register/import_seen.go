package register

import (
	"context"
	"encoding/binary"
	"hash/maphash"
	"io"

	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/store"
)

// seen are the rows of a list so far: what each is known by, and what it says. The first row that is known by something counts, whatever became of it; by this an
// import and its preview, which keeps nothing, say the same of those that follow.
type seen struct {
	seed maphash.Seed
	rows map[uint64]uint64 // beginning of the term → content
}

// maxSeen is how many rows are remembered: some 200 MiB. Of those beyond, an import tells by the contacts themselves, as far as it can, that they stand there twice.
const maxSeen = 4_000_000

func newSeen() seen { return seen{maphash.MakeSeed(), map[uint64]uint64{}} }

// add remembers a row. again says that there was one, and same that it said the same.
func (s *seen) add(term store.Term, c *contacts.Contact) (same, again bool) {
	key, content := binary.BigEndian.Uint64(term[:]), s.content(c)
	was, again := s.rows[key]
	if !again && len(s.rows) < maxSeen {
		s.rows[key] = content
	}
	return again && was == content, again
}

// content is a hash of all that a contact says, under a seed that nobody knows.
func (s *seen) content(c *contacts.Contact) uint64 {
	var h maphash.Hash
	h.SetSeed(s.seed)
	for f := range contacts.Field(contacts.NumFields) {
		v := c.Value(f)
		var size [4]byte
		binary.BigEndian.PutUint32(size[:], uint32(len(v)))
		h.Write(size[:])
		h.WriteString(v)
	}
	return h.Sum64()
}

// recall reads a list anew up to where an import goes on, so that it knows the rows that were kept before it was interrupted.
func (r *Register) recall(ctx context.Context, p *importParams, up list.Resume) (seen, error) {
	s := newSeen()
	options, err := p.Options.reader(nil)
	if err != nil {
		return s, err
	}
	in, err := r.store.OpenSpool(ctx, p.Spool, 0)
	if err != nil {
		return s, err
	}
	defer in.Close()
	rows, err := list.NewReader(in, options)
	if err != nil {
		return s, err
	}
	for n := 0; ; n++ {
		if n%1000 == 0 && ctx.Err() != nil {
			return s, ctx.Err()
		}
		row, err := rows.Next()
		if err == io.EOF {
			return s, nil
		}
		if err != nil {
			return s, err
		}
		if row.Next.Offset > up.Offset {
			return s, nil
		}
		if row.Err == nil {
			s.add(r.ids.Hash(identity(&row.Contact)), &row.Contact)
		}
	}
}
