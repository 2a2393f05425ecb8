package contacts

import (
	"bytes"
	"crypto/sha256"
	"slices"
	"strings"

	"ihyid/contacts/encode"
	"ihyid/contacts/normalise"
)

// KeyDigest is the digest of a contact's phonetic record under one match key.
type KeyDigest struct {
	Key    uint8 // index in the profile
	Digest [sha256.Size]byte
}

// Record is a phonetic record: what a contact comes down to under one match key.
type Record struct {
	Key    string
	Codes  []Code            // in the order of their names
	JSON   []byte            // the record in RFC 8785 form
	Digest [sha256.Size]byte // SHA-256 of JSON
}

// MarshalJSON gives the record in RFC 8785 form.
func (r Record) MarshalJSON() ([]byte, error) { return r.JSON, nil }

// Code is a named code of a record, e.g. first_name H550.
type Code struct{ Name, Code string }

// plan is a profile prepared for encoding: every normalisation and every encoding is done once a contact, however many keys use it.
type plan struct {
	values []planValue
	codes  []planCode
	keys   []planKey
}

type planValue struct { // a field, normalised
	field     Field
	normalise string
	f         normalise.Func
}

type planCode struct { // a normalised field, encoded; or the codes of several, sorted
	value  int
	encode string
	f      encode.Func
	of     []int // the codes that are sorted; they stand before this one
}

type planKey struct {
	names  []string // of the codes, sorted
	codes  []int    // index in plan.codes, in the order of names
	pieces [][]byte // what stands before each code and behind the last: codes need no escaping
}

func newPlan(p *Profile) *plan {
	pl := &plan{}
	for i := range p.doc.Keys {
		pl.keys = append(pl.keys, pl.addKey(&p.doc.Keys[i], p.id))
	}
	return pl
}

func (pl *plan) addKey(k *MatchKey, profileID string) planKey {
	// RFC 8785, 3.2.3: members in the order of their UTF-16 code units, which for ASCII is that of bytes.
	type member struct {
		name, value string
		code        int
	}
	members := []member{{"key", k.Name, -1}, {"profile", profileID, -1}}
	for i := range k.Parts {
		members = append(members, member{k.Parts[i].name(), "", pl.addPart(&k.Parts[i])})
	}
	slices.SortFunc(members, func(a, b member) int { return strings.Compare(a.name, b.name) })

	var key planKey
	piece := []byte{'{'}
	for i, m := range members {
		if i > 0 {
			piece = append(piece, ',')
		}
		piece = append(append(append(piece, '"'), m.name...), `":"`...)
		if m.code < 0 {
			piece = append(piece, m.value...)
		} else {
			key.names = append(key.names, m.name)
			key.codes = append(key.codes, m.code)
			key.pieces = append(key.pieces, piece)
			piece = nil
		}
		piece = append(piece, '"')
	}
	key.pieces = append(key.pieces, append(piece, '}'))
	return key
}

// addPart gives the place of the part's code among the codes.
func (pl *plan) addPart(part *Part) int {
	fields, _ := part.fields()
	var codes []int
	for _, f := range fields {
		codes = append(codes, pl.addCode(f, part))
	}
	if len(codes) == 1 {
		return codes[0]
	}
	slices.Sort(codes)
	c := slices.IndexFunc(pl.codes, func(c planCode) bool { return slices.Equal(c.of, codes) })
	if c < 0 {
		c = len(pl.codes)
		pl.codes = append(pl.codes, planCode{value: -1, of: codes})
	}
	return c
}

func (pl *plan) addCode(field Field, part *Part) int {
	v := slices.IndexFunc(pl.values, func(v planValue) bool { return v.field == field && v.normalise == part.Normalise })
	if v < 0 {
		v = len(pl.values)
		f, _ := normalise.Lookup(part.Normalise)
		pl.values = append(pl.values, planValue{field, part.Normalise, f})
	}
	c := slices.IndexFunc(pl.codes, func(c planCode) bool { return c.value == v && c.encode == part.Encode })
	if c < 0 {
		c = len(pl.codes)
		f, _ := encode.Lookup(part.Encode)
		pl.codes = append(pl.codes, planCode{value: v, encode: part.Encode, f: f})
	}
	return c
}

// Encoder makes phonetic records and digests of contacts under one profile. It reuses its buffers: it is not
// safe for concurrent use, use one a goroutine.
type Encoder struct {
	plan   *plan
	values []span // of the normalised fields, in text
	codes  []span // of the codes, in text
	text   []byte
	record []byte
	order  []span
	names  []string // of the keys
}

type span struct{ from, to int }

// NewEncoder makes an encoder for the profile.
func (p *Profile) NewEncoder() *Encoder {
	e := &Encoder{
		plan:   p.plan,
		values: make([]span, len(p.plan.values)),
		codes:  make([]span, len(p.plan.codes)),
	}
	for i := range p.doc.Keys {
		e.names = append(e.names, p.doc.Keys[i].Name)
	}
	return e
}

// Digests appends the digests of the contact's records to dst, one for each match key whose fields all have a code, in the
// order of the keys.
func (e *Encoder) Digests(dst []KeyDigest, c *Contact) []KeyDigest {
	e.encode(c)
	for i := range e.plan.keys {
		if e.build(&e.plan.keys[i]) {
			dst = append(dst, KeyDigest{uint8(i), sha256.Sum256(e.record)})
		}
	}
	return dst
}

// Records gives the contact's records themselves: for showing and explaining what [Encoder.Digests] hides.
func (e *Encoder) Records(c *Contact) []Record {
	e.encode(c)
	var records []Record
	for i := range e.plan.keys {
		k := &e.plan.keys[i]
		if !e.build(k) {
			continue
		}
		r := Record{Key: e.names[i], JSON: slices.Clone(e.record), Digest: sha256.Sum256(e.record)}
		for j, code := range k.codes {
			r.Codes = append(r.Codes, Code{k.names[j], string(e.text[e.codes[code].from:e.codes[code].to])})
		}
		records = append(records, r)
	}
	return records
}

// encode computes all normalised values and codes of a contact.
func (e *Encoder) encode(c *Contact) {
	e.text = e.text[:0]
	for i := range e.plan.values {
		v := &e.plan.values[i]
		from := len(e.text)
		if s := c.Value(v.field); s != "" {
			e.text = v.f(e.text, s)
		}
		e.values[i] = span{from, len(e.text)}
	}
	for i := range e.plan.codes {
		code := &e.plan.codes[i]
		from := len(e.text)
		if code.of != nil {
			e.codes[i] = e.sorted(code.of)
		} else if v := e.values[code.value]; v.from < v.to {
			// The text may grow and move while it is appended to; the value is a copy-free view of the old bytes, which stay.
			e.text = code.f(e.text, view(e.text[v.from:v.to]))
			e.codes[i] = span{from, len(e.text)}
		} else {
			e.codes[i] = span{from, from}
		}
	}
}

// sorted appends some codes in their order with "+" between; nothing if one is missing.
func (e *Encoder) sorted(codes []int) span {
	from := len(e.text)
	e.order = e.order[:0]
	for _, c := range codes {
		s := e.codes[c]
		if s.from == s.to {
			return span{from, from}
		}
		e.order = append(e.order, s)
	}
	slices.SortFunc(e.order, func(a, b span) int { return bytes.Compare(e.text[a.from:a.to], e.text[b.from:b.to]) })
	for i, s := range e.order {
		if i > 0 {
			e.text = append(e.text, '+')
		}
		e.text = append(e.text, e.text[s.from:s.to]...)
	}
	return span{from, len(e.text)}
}

// build writes the record of a key; false if a code is missing.
func (e *Encoder) build(k *planKey) bool {
	e.record = e.record[:0]
	for i, code := range k.codes {
		s := e.codes[code]
		if s.from == s.to {
			return false
		}
		e.record = append(append(e.record, k.pieces[i]...), e.text[s.from:s.to]...)
	}
	e.record = append(e.record, k.pieces[len(k.codes)]...)
	return true
}
