package api

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strconv"

	"ihyid/exchange"
	"ihyid/store"
)

// Page is which part of a list is asked for.
type Page struct {
	After string `query:"after" maxLength:"1024" pattern:"^[A-Za-z0-9_-]*$" doc:"What next said; good only with the same filters."`
	Limit int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

// cursors makes and reads the places where the parts of one list, under one choice of filters, begin. A cursor is base64url of 8 bytes that stand for
// the list and its filters, and of a place in the list's order (a sort key, not an item), from which the next part is sought: what is added or
// removed meanwhile makes no part fail. It holds no secret and grants nothing: another place is what its bearer could have come to
// anyway, so it is not sealed. No place holds personal data, for cursors stand in URLs.
type cursors [8]byte

// cursorsOf gives the cursors of an operation's list under filters, each by its value.
func cursorsOf(operation string, filters ...string) (c cursors) {
	h := sha256.New()
	for _, text := range append([]string{operation}, filters...) {
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(text))))
		h.Write([]byte(text))
	}
	copy(c[:], h.Sum(nil))
	return c
}

// read gives the place that a cursor names; nil without a cursor.
func (c cursors) read(after string) ([]byte, error) {
	if after == "" {
		return nil, nil
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(after)
	if err != nil || len(b) <= len(c) || len(b) > len(c)+store.MaxKeySize || cursors(b[:len(c)]) != c {
		return nil, newProblem(exchange.CodeInvalid, "query.after: is not what next said for this list with these filters; begin again without it")
	}
	return b[len(c):], nil
}

// readNumber is read for a list whose places are numbers; 0 without a cursor.
func (c cursors) readNumber(after string) (uint64, error) {
	place, err := c.read(after)
	if err != nil || place == nil {
		return 0, err
	}
	n, err := strconv.ParseUint(string(place), 10, 64)
	if err != nil || n == 0 {
		return 0, newProblem(exchange.CodeInvalid, "query.after: is not what next said for this list; begin again without it")
	}
	return n, nil
}

// next is the cursor of a place; "" where there is none, for the list has ended.
func (c cursors) next(place []byte) string {
	if place == nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(c[:], place...))
}

// pageOf gives a part of a list of the node as an answer.
func pageOf[T any](c cursors, page exchange.Page[T], err error) (*body[List[T]], error) {
	return asList(page.Items, c.next(page.Next), err)
}

// query makes a query of a list from its filters.
func (c cursors) query(in Page, peer, state, since string) (q exchange.Query, err error) {
	q = exchange.Query{Peer: peer, State: state, Limit: in.Limit}
	if q.Since, err = moment("since", since); err != nil {
		return q, err
	}
	q.After, err = c.read(in.After)
	return q, err
}
