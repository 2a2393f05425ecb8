package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"ihyid/store"
	"ihyid/store/jobs"
)

// The initiator's steps are those of the network. What they ask for they find in the files that came; where it is not there yet, they end, and the file
// that asks for it is made.

// replyFile gives the file that answers a leg, awaitsFile if it has not come.
func (n *Node) replyFile(ctx context.Context, s *session, at int) (*carried, error) {
	c, err := n.carriedFile(ctx, s.ID, 2*at+2)
	if err == nil && c == nil {
		err = awaitsFile{at}
	}
	return c, err
}

// converseByFile finds the reply to a request in the file that answers it.
func (n *Node) converseByFile(ctx context.Context, s *session, k, want kind, sent []byte) (*message, error) {
	at := slices.IndexFunc(legs[s.Protocol], func(l leg) bool { return slices.Contains(l.requests, k) })
	if at < 0 {
		return nil, fmt.Errorf("the message %s has no place in a file", k)
	}
	c, err := n.replyFile(ctx, s, at)
	if err != nil {
		return nil, err
	}
	messages, err := n.messagesIn(ctx, s, c)
	if err != nil {
		return nil, err
	}
	for _, m := range messages {
		if m.Kind != want {
			continue
		}
		digest, err := digestJSON(sent)
		if err != nil {
			return nil, err
		}
		if head, err := object(m.Subject); err != nil || text(head, "previous") != digest {
			return nil, fail(CodePeerError, "the other node's reply does not answer what was sent")
		}
		return m, nil
	}
	return nil, fail(CodePeerError, "the other node's file holds no reply to the message %s", strings.TrimPrefix(string(k), "Ihyid"))
}

// carriedChunk gives one chunk of a set of the responder from the file that brought it.
func (n *Node) carriedChunk(ctx context.Context, s *session, set string, index uint32) ([]byte, error) {
	at := slices.IndexFunc(legs[s.Protocol], func(l leg) bool { return slices.Contains(l.get, set) })
	if at < 0 {
		return nil, fmt.Errorf("the set %s has no place in a file", set)
	}
	c, err := n.replyFile(ctx, s, at)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Pieces, func(p piece) bool { return p.Set == set && p.Index == index })
	if i < 0 {
		return nil, fail(CodeCommitment, "the other node's file does not hold chunk %d of the set %s", index, set)
	}
	in, err := n.openPieces(ctx, c, c.Pieces[i].Offset)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	body := make([]byte, c.Pieces[i].Size)
	_, err = io.ReadFull(in, body)
	return body, err
}

// completeByFile ends an exchange at the initiator, whose receipt then bears both signatures: its last file takes the initiator's to the responder, and
// needs no answer.
func (n *Node) completeByFile(ctx context.Context, s *session, subject stepSubject, mine, offered []byte, st Statement) error {
	l, err := n.ownLetter(ctx, s, kindCompletion, subject, [][]byte{mine})
	if err != nil {
		return err
	}
	receipt := receiptRecord{Exchange: s.ID, Peer: s.Peer, Initiator: l.Attached[0], Responder: offered, Statement: st, Kept: n.now().UTC()}
	s.State = StateDone
	return n.store.Update(ctx, func(tx *store.Tx) error {
		return errors.Join(n.settle(tx, s), n.writeReceipt(tx, receipt), n.putSession(tx, s))
	})
}

// makeLastRequest makes the last of the initiator's files, once the exchange is done here.
func (n *Node) makeLastRequest(ctx context.Context, t *jobs.Task, id string) error {
	s, err := n.session(ctx, id)
	if err != nil || !s.ByFile {
		return err
	}
	return n.makeRequest(ctx, t, id, len(legs[s.Protocol])-1)
}

// carry says what people have to do next.
func (s *session) carry() *Carry {
	if !s.ByFile || s.State == StateFailed {
		return nil
	}
	c := &Carry{}
	if mayExport(s) == nil {
		c.Export = s.FileMade
	}
	if s.FileMade > s.FileTaken && s.State != StateDone {
		c.Import = s.FileMade + 1
	}
	return c
}
