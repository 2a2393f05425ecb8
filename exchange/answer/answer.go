// Package answer is the list in which the responder of a matching session states the result:
// which of the initiator's contacts and which of its own agree, on which match keys, and how well.
// It is the same for every matching protocol.
//
// A [Row] is a random number that stands for a contact within one exchange; each side draws its
// own and alone knows which contact it means. An [Answer] is one pair of rows, encoded in [Size] bytes:
//
//	initiator's row (16) ‖ responder's row (16) ‖ bitmap of match keys (uint32, big-endian) ‖ tier (uint8)
//
// A list holds its answers in strictly ascending byte order, each pair of rows once; so it is a committed
// set of package merkle, and its root goes into the receipt. It may be empty.
package answer

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
)

const (
	// RowSize is the size of a row in bytes.
	RowSize = 16
	// Size is the size of an encoded answer in bytes.
	Size = 2*RowSize + 4 + 1
)

// Row stands for a contact within one exchange, or within one epoch where exchanges build on one another. It is random and
// means nothing outside.
type Row [RowSize]byte

// Tier says how well a pair agrees. The values travel; they must never change.
type Tier uint8

const (
	// Possible is a pair for a person to look at.
	Possible Tier = 1
	// Match is a pair that the profile's rule takes for the same person.
	Match Tier = 2
	// Withdrawn answers a claim of a contact that the responder has withdrawn since the set was
	// committed to; then it names no row of the responder (all zero). Or it takes a pair back that an earlier exchange
	// of the epoch answered; then it names both rows. It has no match keys.
	Withdrawn Tier = 3
)

// String returns "possible", "match" or "withdrawn".
func (t Tier) String() string {
	switch t {
	case Possible:
		return "possible"
	case Match:
		return "match"
	case Withdrawn:
		return "withdrawn"
	}
	return fmt.Sprintf("tier %d", uint8(t))
}

// Answer states how one of the initiator's contacts and one of the responder's agree.
type Answer struct {
	Initiator, Responder Row
	// Keys has bit i set when the match key with number i of the profile agreed.
	Keys uint32
	Tier Tier
}

// ErrInvalid says that answers are not well-formed.
var ErrInvalid = errors.New("invalid answers")

func (a *Answer) check() error {
	switch a.Tier {
	case Possible, Match:
		if a.Keys == 0 {
			return fmt.Errorf("a %s without a match key: %w", a.Tier, ErrInvalid)
		}
	case Withdrawn:
		if a.Keys != 0 {
			return fmt.Errorf("a withdrawn contact with match keys: %w", ErrInvalid)
		}
	default:
		return fmt.Errorf("%s: %w", a.Tier, ErrInvalid)
	}
	return nil
}

// order compares the pairs of rows, which are what an encoded answer begins with.
func order(a, b Answer) int {
	if c := bytes.Compare(a.Initiator[:], b.Initiator[:]); c != 0 {
		return c
	}
	return bytes.Compare(a.Responder[:], b.Responder[:])
}

// Encode returns the encoded list, in ascending order; it sorts the given slice. It refuses
// answers that [Decode] would refuse.
func Encode(answers []Answer) ([]byte, error) {
	slices.SortFunc(answers, order)
	out := make([]byte, 0, len(answers)*Size)
	for i := range answers {
		a := &answers[i]
		if err := a.check(); err != nil {
			return nil, fmt.Errorf("answer %d: %w", i, err)
		}
		if i > 0 && order(answers[i-1], *a) == 0 {
			return nil, fmt.Errorf("answer %d: a pair is there twice: %w", i, ErrInvalid)
		}
		out = append(out, a.Initiator[:]...)
		out = append(out, a.Responder[:]...)
		out = binary.BigEndian.AppendUint32(out, a.Keys)
		out = append(out, byte(a.Tier))
	}
	return out, nil
}

// Decode appends the answers encoded in data to dst and returns the extended slice. A list that
// comes in chunks is read by one call a chunk, in order: the last answer in dst is the one that
// the next must be above. On error, which wraps [ErrInvalid], it returns dst unchanged.
func Decode(dst []Answer, data []byte) ([]Answer, error) {
	if len(data)%Size != 0 {
		return dst, fmt.Errorf("%d bytes are not a whole number of answers: %w", len(data), ErrInvalid)
	}
	out := slices.Grow(dst, len(data)/Size)
	for i := 0; i < len(data); i += Size {
		b := data[i : i+Size]
		a := Answer{
			Initiator: Row(b[:16]),
			Responder: Row(b[16:32]),
			Keys:      binary.BigEndian.Uint32(b[32:]),
			Tier:      Tier(b[36]),
		}
		if err := a.check(); err != nil {
			return dst, fmt.Errorf("answer %d: %w", i/Size, err)
		}
		if n := len(out); n > 0 && order(out[n-1], a) >= 0 {
			return dst, fmt.Errorf("answer %d: not above the one before it: %w", i/Size, ErrInvalid)
		}
		out = append(out, a)
	}
	return out, nil
}
