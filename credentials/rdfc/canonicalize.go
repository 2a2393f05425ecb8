package rdfc

import (
	"bytes"
	"context"
	"crypto"
	_ "crypto/sha256" // the hashes that Options.Hash names
	_ "crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"slices"
	"strconv"
)

// DefaultMaxWork is the limit of the work on blank nodes that look alike, in steps of about a
// microsecond. Credentials need none or a few hundred.
const DefaultMaxWork = 16_384

// Options of Canonicalize. The zero value means SHA-256 and DefaultMaxWork.
type Options struct {
	Hash    crypto.Hash // crypto.SHA256 or crypto.SHA384
	MaxWork int
}

var (
	// ErrWork says that telling the blank nodes of a dataset apart takes more work than allowed.
	ErrWork = errors.New("the blank nodes of the dataset take too much work to tell apart")
	// ErrHash says that a hash is not known here.
	ErrHash = errors.New("the hash is neither SHA-256 nor SHA-384")
)

// Canonicalize gives the canonical N-Quads of a dataset: sorted, one quad a line, each once, blank
// nodes labelled c14n0, c14n1, …
func Canonicalize(ctx context.Context, quads []Quad, o Options) ([]byte, error) {
	c, err := canonicalize(ctx, quads, o)
	if err != nil {
		return nil, err
	}
	return c.serialize(), nil
}

// Labels gives the canonical label (such as c14n0) of every blank node by its label in the dataset:
// the issued identifiers map of section 4.
func Labels(ctx context.Context, quads []Quad, o Options) (map[string]string, error) {
	c, err := canonicalize(ctx, quads, o)
	if err != nil {
		return nil, err
	}
	labels := make(map[string]string, len(c.nodes))
	for i, n := range c.nodes {
		labels[n.label] = "c14n" + strconv.Itoa(c.canonical.of[i])
	}
	return labels, nil
}

func canonicalize(ctx context.Context, quads []Quad, o Options) (*canonicalizer, error) {
	if o.Hash == 0 {
		o.Hash = crypto.SHA256
	}
	if o.Hash != crypto.SHA256 && o.Hash != crypto.SHA384 {
		return nil, ErrHash
	}
	if o.MaxWork <= 0 {
		o.MaxWork = DefaultMaxWork
	}
	c := &canonicalizer{ctx: ctx, work: o.MaxWork, hash: o.Hash.New()}
	if err := c.load(quads); err != nil {
		return nil, err
	}
	return c, c.label()
}

// node is a blank node.
type node struct {
	label string
	quads []int  // that mention it, each once
	first string // hash of its first-degree quads, in hex
}

// quad is a quad with its blank nodes by number; -1 where the term is none.
type quad struct {
	Quad
	s, o, g int
}

// canonicalizer is the canonicalization state of section 4.2.
type canonicalizer struct {
	ctx       context.Context
	work      int // left
	hash      hash.Hash
	quads     []quad
	nodes     []node
	canonical *issuer
	buffer    []byte
	lines     [][]byte
}

// load validates the quads, drops repeated ones and numbers the blank nodes.
func (c *canonicalizer) load(quads []Quad) error {
	numbers := map[string]int{}
	number := func(t *Term) int {
		if t.Kind != Blank {
			return -1
		}
		n, ok := numbers[t.Value]
		if !ok {
			n = len(c.nodes)
			numbers[t.Value] = n
			c.nodes = append(c.nodes, node{label: t.Value})
		}
		return n
	}
	seen := make(map[Quad]struct{}, len(quads))
	c.quads = make([]quad, 0, len(quads))
	for i := range quads {
		q := quads[i]
		if err := q.Validate(); err != nil {
			return fmt.Errorf("quad %d: %w", i+1, err)
		}
		if q.Object.Kind == Literal { // the two ways to write these datatypes
			if q.Object.Datatype == xsdString || q.Object.Datatype == langString {
				q.Object.Datatype = ""
			}
		}
		if _, twice := seen[q]; twice {
			continue
		}
		seen[q] = struct{}{}
		k := len(c.quads)
		c.quads = append(c.quads, quad{Quad: q, s: number(&q.Subject), o: number(&q.Object), g: number(&q.Graph)})
		last := &c.quads[k]
		for _, n := range [...]int{last.s, last.o, last.g} {
			if n >= 0 {
				if list := c.nodes[n].quads; len(list) == 0 || list[len(list)-1] != k {
					c.nodes[n].quads = append(list, k)
				}
			}
		}
	}
	return nil
}

// label issues the canonical labels: steps 3 to 5 of section 4.4.3.
func (c *canonicalizer) label() error {
	c.canonical = newIssuer(len(c.nodes))
	byHash := make(map[string][]int, len(c.nodes))
	for i := range c.nodes {
		if err := c.ctx.Err(); err != nil {
			return err
		}
		c.nodes[i].first = c.firstDegree(i)
		byHash[c.nodes[i].first] = append(byHash[c.nodes[i].first], i)
	}
	hashes := sortedKeys(byHash)
	for _, h := range hashes {
		if list := byHash[h]; len(list) == 1 {
			c.canonical.issue(list[0])
		}
	}
	for _, h := range hashes {
		list := byHash[h]
		if len(list) == 1 {
			continue
		}
		type path struct {
			hash   string
			issuer *issuer
		}
		var paths []path
		for _, n := range list {
			if c.canonical.has(n) {
				continue
			}
			temporary := newIssuer(len(c.nodes))
			temporary.issue(n)
			hash, issued, err := c.nDegree(n, temporary)
			if err != nil {
				return err
			}
			paths = append(paths, path{hash, issued})
		}
		slices.SortStableFunc(paths, func(a, b path) int { return compare(a.hash, b.hash) })
		for _, p := range paths {
			for _, n := range p.issuer.order {
				c.canonical.issue(n)
			}
		}
	}
	return nil
}

func (c *canonicalizer) spend(n int) error {
	c.work -= n
	if c.work < 0 {
		return ErrWork
	}
	return nil
}

// firstDegree is Hash First Degree Quads (section 4.6.3): the node's quads with _:a for itself and
// _:z for any other blank node.
func (c *canonicalizer) firstDegree(n int) string {
	c.buffer, c.lines = c.buffer[:0], c.lines[:0]
	label := c.nodes[n].label
	name := func(dst []byte, t *Term) []byte {
		if t.Value == label {
			return append(dst, "_:a"...)
		}
		return append(dst, "_:z"...)
	}
	ends := make([]int, 0, 16)
	for _, k := range c.nodes[n].quads {
		c.buffer = appendNQuad(c.buffer, &c.quads[k].Quad, name)
		ends = append(ends, len(c.buffer))
	}
	start := 0
	for _, end := range ends {
		c.lines = append(c.lines, c.buffer[start:end])
		start = end
	}
	slices.SortFunc(c.lines, bytes.Compare)
	c.hash.Reset()
	for _, l := range c.lines {
		c.hash.Write(l)
	}
	return hex.EncodeToString(c.hash.Sum(nil))
}

func (c *canonicalizer) serialize() []byte {
	c.buffer, c.lines = c.buffer[:0], c.lines[:0]
	ends := make([]int, 0, len(c.quads))
	var q *quad
	name := func(dst []byte, t *Term) []byte {
		n := q.g
		switch t {
		case &q.Subject:
			n = q.s
		case &q.Object:
			n = q.o
		}
		return c.canonical.append(dst, "_:c14n", n)
	}
	for i := range c.quads {
		q = &c.quads[i]
		c.buffer = appendNQuad(c.buffer, &q.Quad, name)
		ends = append(ends, len(c.buffer))
	}
	start := 0
	for _, end := range ends {
		c.lines = append(c.lines, c.buffer[start:end])
		start = end
	}
	slices.SortFunc(c.lines, bytes.Compare)
	return bytes.Join(c.lines, nil)
}

// issuer is an identifier issuer (section 4.3): numbers in the order of asking.
type issuer struct {
	of    map[int]int // blank node → number
	order []int       // blank nodes
}

func newIssuer(int) *issuer { return &issuer{of: map[int]int{}} }

func (s *issuer) has(n int) bool { _, ok := s.of[n]; return ok }

func (s *issuer) issue(n int) {
	if !s.has(n) {
		s.of[n] = len(s.order)
		s.order = append(s.order, n)
	}
}

func (s *issuer) append(dst []byte, prefix string, n int) []byte {
	dst = append(dst, prefix...)
	return strconv.AppendInt(dst, int64(s.of[n]), 10)
}

func (s *issuer) clone() *issuer {
	of := make(map[int]int, len(s.of)+4)
	for k, v := range s.of {
		of[k] = v
	}
	return &issuer{of: of, order: slices.Clone(s.order)}
}

func sortedKeys(m map[string][]int) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func compare(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
