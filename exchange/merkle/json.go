package merkle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"
)

// maxJSON bounds a commitment's JSON in bytes: the chunk roots of the largest set of the largest entries in use
// (72 bytes, 8,192 a chunk), indented generously.
const maxJSON = MaxCount/(1<<13)*96 + 4096

// maxChunkRoots bounds the list of chunk roots while it is being read.
const maxChunkRoots = maxJSON / (2*HashSize + 3)

// MarshalJSON writes an object whose values are strings (numbers in decimal, hashes in lower-case
// hexadecimal), in the canonical form of RFC 8785.
func (c Commitment) MarshalJSON() ([]byte, error) {
	out := make([]byte, 0, 256+len(c.ChunkRoots)*(2*HashSize+3))
	out = fmt.Appendf(out, `{"chunkEntries":"%d","chunkRoots":[`, c.ChunkEntries)
	for i, h := range c.ChunkRoots {
		if i > 0 {
			out = append(out, ',')
		}
		out = fmt.Appendf(out, `"%x"`, h[:])
	}
	return fmt.Appendf(out, `],"count":"%d","entrySize":"%d","root":"%x"}`, c.Count, c.EntrySize, c.Root[:]), nil
}

// UnmarshalJSON reads what MarshalJSON writes, in any order and spacing, and nothing else: every
// member exactly once, no other member, numbers without sign or leading zeros. The result is
// consistent in itself, as by [Commitment.Validate] with its own entry size; the caller still has to hold it against the entry
// size and the count that it expects. The error wraps [ErrCommitment].
func (c *Commitment) UnmarshalJSON(data []byte) error {
	v, err := parseCommitment(data)
	if err != nil {
		return fmt.Errorf("merkle: %w: %w", err, ErrCommitment)
	}
	if err := v.Validate(v.EntrySize, MaxCount); err != nil {
		return err
	}
	*c = v
	return nil
}

func parseCommitment(data []byte) (Commitment, error) {
	var c Commitment
	if len(data) > maxJSON {
		return c, fmt.Errorf("%d bytes of JSON, at most %d are accepted", len(data), maxJSON)
	}
	if !utf8.Valid(data) {
		return c, errors.New("not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return c, errors.New("not a JSON object")
	}
	seen := make(map[string]bool, 5)
	for d.More() {
		name, err := text(d)
		if err != nil {
			return c, err
		}
		if seen[name] {
			return c, errors.New("a member is there twice")
		}
		seen[name] = true
		switch name {
		case "entrySize":
			var n uint64
			n, err = number(d, MaxEntrySize)
			c.EntrySize = int(n)
		case "count":
			c.Count, err = number(d, MaxCount)
		case "chunkEntries":
			var n uint64
			n, err = number(d, MaxChunkEntries)
			c.ChunkEntries = int(n)
		case "root":
			c.Root, err = hash(d)
		case "chunkRoots":
			c.ChunkRoots, err = hashes(d)
		default:
			return c, errors.New("an unknown member")
		}
		if err != nil {
			return c, fmt.Errorf("%s: %w", name, err)
		}
	}
	if _, err := d.Token(); err != nil {
		return c, errors.New("the object does not end")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return c, errors.New("something follows the object")
	}
	if len(seen) != 5 {
		return c, errors.New("a member is missing")
	}
	return c, nil
}

func text(d *json.Decoder) (string, error) {
	t, err := d.Token()
	if err != nil {
		return "", errors.New("not well-formed JSON")
	}
	s, ok := t.(string)
	if !ok {
		return "", errors.New("not a string")
	}
	return s, nil
}

func number(d *json.Decoder, most uint64) (uint64, error) {
	s, err := text(d)
	if err != nil {
		return 0, err
	}
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil || strconv.FormatUint(n, 10) != s {
		return 0, errors.New("not a decimal number")
	}
	if n > most {
		return 0, fmt.Errorf("%d, at most %d is accepted", n, most)
	}
	return n, nil
}

func hash(d *json.Decoder) (Hash, error) {
	var h Hash
	s, err := text(d)
	if err != nil {
		return h, err
	}
	return h, h.UnmarshalText([]byte(s))
}

func hashes(d *json.Decoder) ([]Hash, error) {
	if t, err := d.Token(); err != nil || t != json.Delim('[') {
		return nil, errors.New("not an array")
	}
	list := []Hash{}
	for d.More() {
		if len(list) == maxChunkRoots {
			return nil, fmt.Errorf("more than %d", maxChunkRoots)
		}
		h, err := hash(d)
		if err != nil {
			return nil, err
		}
		list = append(list, h)
	}
	if _, err := d.Token(); err != nil {
		return nil, errors.New("the array does not end")
	}
	return list, nil
}
