package exchange

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"ihyid/store"
	"ihyid/store/jobs"
)

const jobAnswerFile = "exchange.answer-file"

type fileParams struct {
	Exchange string `json:"exchange"`
	Number   int    `json:"number"`
}

// answerFile is the responder's job: it acts on the messages of a file one after the other, as if they came over a network, and makes the file that
// answers it. All of it may be done again.
func (n *Node) answerFile(ctx context.Context, t *jobs.Task) error {
	var p fileParams
	if err := t.Params(&p); err != nil {
		return err
	}
	err := n.actOnFile(ctx, t, &p)
	switch {
	case err == nil:
		return n.finishJob(ctx, t, p.Exchange)
	case errors.Is(context.Cause(ctx), jobs.ErrCancelled):
		return n.cancelled(ctx, p.Exchange)
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.As(err, new(waitError)):
		return jobs.Later(n.fileWait(ctx, p.Exchange), err)
	case temporary(err):
		return jobs.Later(n.pause(ctx, p.Exchange), err)
	}
	if end := n.giveUp(ctx, p.Exchange, err); end != nil {
		return end
	}
	return err
}

func (n *Node) actOnFile(ctx context.Context, t *jobs.Task, p *fileParams) error {
	s, err := n.session(ctx, p.Exchange)
	if err != nil {
		return err
	}
	if s.State == StateFailed {
		return errors.New(s.Error)
	}
	if s.FileMade > p.Number {
		return nil
	}
	c, err := n.carriedFile(ctx, p.Exchange, p.Number)
	if err != nil || c == nil {
		return errors.Join(err, fmt.Errorf("file %d of the exchange is not kept", p.Number))
	}
	peer, err := n.peer(ctx, s.Peer)
	if err != nil {
		return err
	}
	if peer.Peer.State != PeerApproved {
		return notApproved(&peer.Peer)
	}
	messages, err := n.messagesIn(ctx, s, c)
	if err != nil {
		return err
	}
	l := &legs[s.Protocol][(p.Number-1)/2]
	var credentials [][]byte
	for i, m := range messages {
		if i == l.after {
			if err := n.takeCarried(ctx, t, s.ID, c); err != nil {
				return err
			}
		}
		if s, err = n.session(ctx, s.ID); err != nil {
			return err
		}
		if s.State == StateFailed {
			return errors.New(s.Error)
		}
		answered, err := n.hasLetter(ctx, s, replyTo[m.Kind])
		if err != nil {
			return err
		}
		if !answered && !readyFor(s, m.Kind) {
			if job, err := n.jobs.Get(ctx, s.Job); err == nil {
				t.Describe(job.Unit, job.Message)
				t.Progress(job.Done, job.Total)
			}
			return waitError{fmt.Sprintf("waiting for this node's own work (%s)", s.State)}
		}
		r, err := handlers[m.Kind].handle(n, ctx, m, peer)
		if err != nil {
			return err
		}
		credentials = append(credentials, r.credentials...)
	}
	if l.after == len(messages) {
		if err := n.takeCarried(ctx, t, s.ID, c); err != nil {
			return err
		}
	}
	return n.makeReply(ctx, t, p, l, c, credentials)
}

// readyFor reports whether a responder's exchange is at the step that a request asks for.
func readyFor(s *session, k kind) bool {
	switch k {
	case kindAcceptance:
		return s.State == StateAccepted
	case kindClaims:
		return s.State == StateClaiming
	case kindResult:
		return s.State == StateAnswering
	case kindReceiptRequest:
		return s.State == StateReceipt
	}
	return true
}

// fileWait is how long the job rests while other work of this node goes on.
func (n *Node) fileWait(ctx context.Context, id string) (wait time.Duration) {
	s, err := n.session(ctx, id)
	if err != nil {
		return time.Second
	}
	if s.State == StateWaiting {
		return 2 * time.Second // a person decides
	}
	return min(max(n.now().Sub(s.Updated)/10, 20*time.Millisecond), time.Second)
}

// takeCarried takes the chunks of a file as those that come over the network, one by one.
func (n *Node) takeCarried(ctx context.Context, t *jobs.Task, id string, c *carried) error {
	if len(c.Pieces) == 0 {
		return nil
	}
	s, err := n.session(ctx, id)
	if err != nil {
		return err
	}
	left := slices.DeleteFunc(slices.Clone(c.Pieces), func(p piece) bool {
		a := s.Arrived[p.Set]
		return int(p.Index) < len(a) && a[p.Index].First != nil
	})
	if len(left) == 0 || s.Arrived == nil {
		return nil
	}
	t.Describe("chunks", "taking what was carried here")
	in, err := n.openPieces(ctx, c, left[0].Offset)
	if err != nil {
		return err
	}
	defer in.Close()
	at := left[0].Offset
	for i, p := range left {
		if _, err := io.CopyN(io.Discard, in, p.Offset-at); err != nil {
			return err
		}
		body := make([]byte, p.Size)
		if _, err := io.ReadFull(in, body); err != nil {
			return err
		}
		at = p.Offset + int64(p.Size)
		if err := n.takePiece(ctx, id, p, body); err != nil {
			return err
		}
		t.Progress(uint64(len(c.Pieces)-len(left)+i+1), uint64(len(c.Pieces)))
	}
	return nil
}

func (n *Node) openPieces(ctx context.Context, c *carried, from int64) (*store.SpoolReader, error) {
	if c.Spool == "" {
		return nil, fmt.Errorf("the chunks of file %d are not kept any more", c.Number)
	}
	return n.store.OpenSpool(ctx, c.Spool, from)
}

// makeReply makes the responder's file that answers one of the initiator.
func (n *Node) makeReply(ctx context.Context, t *jobs.Task, p *fileParams, l *leg, request *carried, credentials [][]byte) error {
	s, err := n.session(ctx, p.Exchange)
	if err != nil {
		return err
	}
	if slices.Contains(l.get, setEvaluated) {
		chunks := s.Sets[setBundle].Chunks()
		t.Describe("chunks", "evaluating")
		for i := range chunks {
			if _, err := n.evaluated(ctx, s, uint32(i)); err != nil {
				return err
			}
			t.Progress(uint64(i+1), uint64(chunks))
		}
	}
	bound, err := digestJSON(request.Presentation)
	if err != nil {
		return err
	}
	next := ""
	if p.Number+1 < lastFile(s.Protocol) {
		if next, err = n.randomHex(32); err != nil {
			return err
		}
	}
	defer n.locks.lock(p.Exchange)()
	if s, err = n.session(ctx, p.Exchange); err != nil || s.FileMade > p.Number {
		return err
	}
	if s.State == StateFailed {
		return errors.New(s.Error)
	}
	return n.makeFile(ctx, t, s, p.Number+1, bound, next, credentials, n.piecesOf(s, l.get), func(q piece) ([]byte, error) {
		var body []byte
		err := n.store.View(ctx, func(tx *store.Tx) (err error) {
			body, err = n.kept.chunks.Get(tx, chunkKey(s.ID, q.Set, q.Index))
			return err
		})
		return body, err
	})
}

func (n *Node) takePiece(ctx context.Context, id string, p piece, body []byte) error {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil {
		return err
	}
	return n.takeChunk(ctx, s, p.Set, p.Index, body)
}
