package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"ihyid/did"
	"ihyid/exchange/sealedfile"
	"ihyid/exchange/voprf"
	"ihyid/store"
	"ihyid/store/jobs"
)

const proofSize = voprf.ProofSize

// signFileBefore is how old a signature may be when a file is written once more; then it is signed anew, so that it has time left to travel.
const signFileBefore = 7 * 24 * time.Hour

// makeRequest makes the initiator's file of a leg, if it is not there yet: it signs what the leg asks for, and puts the chunks aside.
func (n *Node) makeRequest(ctx context.Context, t *jobs.Task, id string, at int) error {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil || s.FileMade > 2*at {
		return err
	}
	l := &legs[s.Protocol][at]
	var credentials [][]byte
	previous := ""
	for i, k := range l.requests {
		subject := stepSubject{Exchange: s.ID, Previous: previous, Transcript: s.Transcript}
		if i == 0 { // the step itself has written it
			if sent, err := n.keptLetter(ctx, s, k); err != nil || sent == nil {
				return errors.Join(err, fmt.Errorf("the message %s of this exchange is not kept", k))
			}
		}
		sent, err := n.ownLetter(ctx, s, k, subject, nil)
		if err != nil {
			return err
		}
		credentials = append(append(credentials, sent.Credential), rawBytes(sent.Attached)...)
		if previous, err = digestJSON(sent.Credential); err != nil {
			return err
		}
	}
	challenge := s.Challenge
	if at == 0 {
		if challenge, err = openingChallenge(s.Agreement, s.ID); err != nil {
			return err
		}
	}
	chunks, err := n.requestChunks(ctx, s, l)
	if err != nil {
		return err
	}
	return n.makeFile(ctx, t, s, 2*at+1, challenge, "", credentials, n.piecesOf(s, l.put), chunks)
}

// requestChunks gives the chunks of the initiator's sets of a leg.
func (n *Node) requestChunks(ctx context.Context, s *session, l *leg) (func(p piece) ([]byte, error), error) {
	if len(l.put) == 0 {
		return nil, nil
	}
	set := l.put[0]
	c := s.Sets[set]
	entries := n.ownEntries
	if s.Protocol == ProtocolVOPRF {
		entries = func(ctx context.Context, s *session, set string) ([]byte, error) { return n.getSet(ctx, s.ID, set) }
	}
	data, err := entries(ctx, s, set)
	if err != nil {
		return nil, err
	}
	return func(p piece) ([]byte, error) {
		from := int(p.Index) * c.ChunkEntries * c.EntrySize
		return data[from : from+p.Size], nil
	}, nil
}

// makeFile signs a file and keeps it with its chunks. It is sealed only when it is written: its receiver's key may change meanwhile.
func (n *Node) makeFile(ctx context.Context, t *jobs.Task, s *session, number int, challenge, next string, credentials [][]byte, pieces []piece,
	chunk func(p piece) ([]byte, error)) error {
	var spool *store.SpoolWriter
	digest := sealedfile.NewDigest()
	for i, p := range pieces {
		if spool == nil {
			var err error
			if spool, err = n.store.NewSpool(ctx); err != nil {
				return err
			}
			defer spool.Discard()
			t.Describe("chunks", "making the file")
		}
		body, err := chunk(p)
		if err != nil {
			return err
		}
		if len(body) != p.Size {
			return fmt.Errorf("chunk %d of the set %s has %d bytes instead of %d", p.Index, p.Set, len(body), p.Size)
		}
		if _, err := spool.Write(body); err != nil {
			return err
		}
		digest.Add(p.Set, p.Index, body)
		t.Progress(uint64(i+1), uint64(len(pieces)))
	}
	sum := digest.Sum()
	head, err := n.issue(ctx, string(kindFile), fileSubject{Exchange: s.ID, Number: fmt.Sprint(number), Payload: hex.EncodeToString(sum[:]), Challenge: next}, messageLife)
	if err != nil {
		return err
	}
	c := &carried{Number: number, Own: true, Pieces: pieces, Challenge: challenge}
	if err := n.signFile(ctx, s, c, append([][]byte{head}, credentials...)); err != nil {
		return err
	}
	if spool != nil {
		if err := spool.Finish(); err != nil {
			return err
		}
	}
	s.FileMade = number
	if next != "" {
		s.Challenge = next
	}
	return n.store.Update(ctx, func(tx *store.Tx) error {
		if spool != nil {
			var err error
			if c.Spool, err = spool.CommitTx(tx); err != nil {
				return err
			}
		}
		if err := n.kept.carried.Put(tx, carriedKey(s.ID, number), *c); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
}

// signFile makes the presentation of a file.
func (n *Node) signFile(ctx context.Context, s *session, c *carried, credentials [][]byte) error {
	var err error
	if c.Presentation, err = n.presentFor(ctx, fileLife, s.Peer, c.Challenge, credentials...); err != nil {
		return err
	}
	digest, err := digestJSON(c.Presentation)
	if err != nil {
		return err
	}
	c.Signed, c.Bound = n.now().UTC(), append(c.Bound, digest)
	return nil
}

// ExportStep writes the file that is to be carried to the other side of an exchange: the last that this node has made. It may be written any number of
// times; each is sealed anew, to the key that the peer publishes now, and says the same.
func (n *Node) ExportStep(ctx context.Context, id string, out io.Writer) (StepFile, error) {
	s, err := n.session(ctx, id)
	if err != nil {
		return StepFile{}, err
	}
	if err := mayExport(s); err != nil {
		return StepFile{}, err
	}
	peer, err := n.peer(ctx, s.Peer)
	if err != nil {
		return StepFile{}, err
	}
	if peer.Peer.State != PeerApproved {
		return StepFile{}, fail(CodePeerState, "%s is %s: nothing is sealed to it", s.Peer, peer.Peer.State)
	}
	c, err := n.freshFile(ctx, id, s.FileMade)
	if err != nil {
		return StepFile{}, err
	}
	doc, err := n.keptDocument(ctx, peer.Peer.Document)
	if err != nil {
		return StepFile{}, fmt.Errorf("the document that %s is held to: %w", s.Peer, err)
	}
	key, err := agreementKeyIn(doc, peer.Credential, n.now())
	if err != nil {
		return StepFile{}, err
	}
	return n.stepFile(s, c), n.seal(ctx, out, c, func() (*sealedfile.Writer, error) {
		return sealedfile.NewWriter(out, key, doc.Digest(), c.Presentation)
	})
}

func (n *Node) seal(ctx context.Context, out io.Writer, c *carried, begin func() (*sealedfile.Writer, error)) error {
	var in *store.SpoolReader
	if c.Spool != "" {
		var err error
		if in, err = n.store.OpenSpool(ctx, c.Spool, 0); err != nil {
			return err
		}
		defer in.Close()
	} else if len(c.Pieces) > 0 {
		return fail(CodeExchangeState, "the other side has answered this file already; its chunks are not kept any more")
	}
	w, err := begin()
	if err != nil {
		return err
	}
	var buf []byte
	for _, p := range c.Pieces {
		if cap(buf) < p.Size {
			buf = make([]byte, p.Size)
		}
		if _, err := io.ReadFull(in, buf[:p.Size]); err != nil {
			return err
		}
		if err := w.Chunk(p.Set, p.Index, buf[:p.Size]); err != nil {
			return err
		}
	}
	return w.Close()
}

// mayExport says why there is no file to be carried to the peer now.
func mayExport(s *session) error {
	switch {
	case !s.ByFile:
		return fail(CodeExchangeState, "exchange %s goes over the network; there is no file of it", s.ID)
	case s.State == StateFailed:
		return fail(CodeExchangeState, "exchange %s has failed (%s); begin a new one", s.ID, s.Error)
	case s.State == StateWaiting:
		return fail(CodeExchangeState, "exchange %s waits for your decision: ihyid exchange approve %s, or refuse", s.ID, s.ID)
	case s.FileMade <= s.FileTaken && s.FileMade < lastFile(s.Protocol):
		return fail(CodeExchangeState, "the next file of exchange %s is being made; ihyid exchange show %s tells how far it is", s.ID, s.ID)
	}
	return nil
}

// freshFile gives an own file whose signature has time left, signing it anew if need be.
func (n *Node) freshFile(ctx context.Context, id string, number int) (*carried, error) {
	defer n.locks.lock(id)()
	s, err := n.session(ctx, id)
	if err != nil {
		return nil, err
	}
	c, err := n.carriedFile(ctx, id, number)
	if err != nil || c == nil {
		return nil, errors.Join(err, fail(CodeExchangeState, "there is no file %d of exchange %s", number, id))
	}
	if n.now().Sub(c.Signed) < signFileBefore {
		return c, nil
	}
	e, err := readEnvelopeOf(c.Presentation, maxCredentialsInAFile)
	if err != nil {
		return nil, err
	}
	if len(c.Bound) >= 16 {
		c.Bound = c.Bound[1:]
	}
	if err := n.signFile(ctx, s, c, e.Credentials); err != nil {
		return nil, err
	}
	return c, n.store.Update(ctx, func(tx *store.Tx) error { return n.kept.carried.Put(tx, carriedKey(id, number), *c) })
}

// fileKeys are the keys that a file to this node may have been sealed to: each of its own that has not ended, with each version of its DID document, the
// newest first.
func (n *Node) fileKeys(ctx context.Context) ([]sealedfile.Recipient, error) {
	keys, err := n.agreementKeys(ctx)
	if err != nil {
		return nil, err
	}
	now, err := did.ParseDocument(n.self().Document)
	if err != nil {
		return nil, err
	}
	versions := [][32]byte{now.Digest()}
	before := map[[32]byte][32]byte{}
	err = n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.changes.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			after, err := did.ParseDocument(item.Value.Document)
			if err != nil {
				return err
			}
			before[after.Digest()] = [32]byte(item.Key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for at, ok := before[versions[0]]; ok && len(versions) < sealedfile.MaxRecipients; at, ok = before[at] {
		versions = append(versions, at)
	}
	var out []sealedfile.Recipient
	for _, v := range versions {
		for _, k := range keys {
			out = append(out, sealedfile.Recipient{Key: k, Document: v})
		}
	}
	return out, nil
}
