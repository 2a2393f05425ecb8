package exchange

import (
	"context"
	"encoding/json"
	"errors"

	"ihyid/store"
)

// keepLetters keeps a request and the reply to it.
func (n *Node) keepLetters(tx *store.Tx, s *session, m *message, k kind, credential []byte, attached [][]byte) error {
	if err := n.kept.letters.Put(tx, letterKey(s.ID, m.Kind), letterOf(m)); err != nil {
		return err
	}
	return n.kept.letters.Put(tx, letterKey(s.ID, k), letter{From: n.DID(), Credential: credential, Attached: rawMessages(attached)})
}

// replyAgain gives the kept reply to a request that was heard before, nil if it was not; another request in its place is a conflict.
func (n *Node) replyAgain(ctx context.Context, s *session, m *message, k kind) (*reply, error) {
	var out *reply
	err := n.store.View(ctx, func(tx *store.Tx) error {
		heard, err := n.kept.letters.Get(tx, letterKey(s.ID, m.Kind))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if !sameJSON(heard.Credential, m.Credential) {
			return fail(CodeConflict, "this step of the exchange was taken before with another message")
		}
		l, err := n.kept.letters.Get(tx, letterKey(s.ID, k))
		if err != nil {
			return err
		}
		out = &reply{credentials: append([][]byte{l.Credential}, rawBytes(l.Attached)...)}
		return nil
	})
	return out, err
}

// ask sends the message of a step (signing it the first time, sending the same again later), verifies the reply, and keeps both
// with what apply changes in the session, in one transaction.
func (n *Node) ask(ctx context.Context, s *session, to peerAddress, k, want kind, subject any, attached [][]byte,
	apply func(m *message, token string) error, also func(tx *store.Tx) error) error {
	sent, err := n.ownLetter(ctx, s, k, subject, attached)
	if err != nil {
		return err
	}
	m, token, err := n.converse(ctx, to, k, s.ID, want, append([][]byte{sent.Credential}, rawBytes(sent.Attached)...)...)
	if err != nil {
		return err
	}
	if err := apply(m, token); err != nil {
		return err
	}
	s.Previous = m.Digest
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if err := n.kept.letters.Put(tx, letterKey(s.ID, want), letterOf(m)); err != nil {
			return err
		}
		if err := n.putDocument(tx, m.Document); err != nil {
			return err
		}
		if also != nil {
			if err := also(tx); err != nil {
				return err
			}
		}
		return n.putSession(tx, s)
	})
}

// ownLetter gives the own message of a step: the kept one, or a new one, kept before it is sent.
func (n *Node) ownLetter(ctx context.Context, s *session, k kind, subject any, attached [][]byte) (*letter, error) {
	var out *letter
	err := n.store.View(ctx, func(tx *store.Tx) error {
		l, err := n.kept.letters.Get(tx, letterKey(s.ID, k))
		if err == nil {
			out = &l
		} else if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		return err
	})
	if err != nil || out != nil {
		return out, err
	}
	by := ""
	if k == kindOpening {
		by = s.InitiatorKey
	}
	credential, err := n.issueBy(ctx, by, string(k), subject, messageLife)
	if err != nil {
		return nil, err
	}
	out = &letter{From: n.DID(), Credential: credential, Attached: rawMessages(attached)}
	return out, n.store.Update(ctx, func(tx *store.Tx) error {
		return n.kept.letters.Put(tx, letterKey(s.ID, k), *out)
	})
}

func (n *Node) hasLetter(ctx context.Context, s *session, k kind) (bool, error) {
	found := false
	err := n.store.View(ctx, func(tx *store.Tx) error {
		_, err := n.kept.letters.Get(tx, letterKey(s.ID, k))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		found = err == nil
		return err
	})
	return found, err
}

func letterOf(m *message) letter {
	return letter{From: m.From, Credential: m.Credential, Attached: rawMessages(m.Attached), Presentation: m.Whole}
}

func rawMessages(in [][]byte) []json.RawMessage {
	var out []json.RawMessage
	for _, b := range in {
		out = append(out, b)
	}
	return out
}

func rawBytes(in []json.RawMessage) [][]byte {
	var out [][]byte
	for _, b := range in {
		out = append(out, b)
	}
	return out
}

func (n *Node) keptLetter(ctx context.Context, s *session, k kind) (*letter, error) {
	var out *letter
	err := n.store.View(ctx, func(tx *store.Tx) error {
		l, err := n.kept.letters.Get(tx, letterKey(s.ID, k))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		out = &l
		return err
	})
	return out, err
}

// letter is one message of an exchange, kept as evidence and to be sent again.
type letter struct {
	From         string            `json:"from"`
	Credential   json.RawMessage   `json:"credential"`
	Attached     []json.RawMessage `json:"attached,omitempty"`
	Presentation json.RawMessage   `json:"presentation,omitempty"` // as first received; own ones are not kept
}

func letterKey(id string, k kind) []byte { return []byte(id + "/" + string(k)) }
