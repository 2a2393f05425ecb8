package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ihyid/did"
	"ihyid/exchange/merkle"
	"ihyid/store"
)

// An exchange can also be carried: on a stick, by hand, between nodes that no network joins. The messages, the handlers, the checks, the budgets and
// the receipts are those of the network. What differs is how they travel: several at once in one file, sealed to the receiver (package sealedfile), so that
// people have to go to and fro as seldom as may be.
//
// The files of an exchange are numbered from 1. The odd ones go from the initiator to the responder, the even ones back; number 2l+1 and number 2l+2 make
// leg l. A request that says nothing new is sent along with the one before it, whose digest it names as `previous`: its sender does not know the reply
// yet.

// fileLife is how long a file may be on its way, and how long a carried exchange may rest.
const fileLife = 30 * 24 * time.Hour

// maxCredentialsInAFile is: what the file is, three messages, a receipt.
const maxCredentialsInAFile = 5

type committedSet = merkle.Commitment

// maxCarriedCount bounds a set in a file, before it is known what may be in it; the whole file is bounded by maxFile.
const maxCarriedCount = merkle.MaxCount

// leg is one way there and back: what the initiator's file holds and what the responder's.
type leg struct {
	requests []kind
	put      []string // sets of the initiator that travel with them
	after    int      // how many of the requests are acted on before those sets are taken
	get      []string // sets of the responder that travel with the replies
}

var legs = map[string][]leg{
	ProtocolVOPRF: {
		{requests: []kind{kindOpening, kindAcceptance}, put: []string{setBundle}, after: 2, get: []string{setEvaluated, setTags}},
		{requests: []kind{kindOffer, kindResult, kindReceiptRequest}, put: []string{setClaims}, after: 1, get: []string{setAnswers}},
		{requests: []kind{kindCompletion}},
	},
	// The entries of a noise bundle wait for the acceptance: the responder commits to its own set before it sees them.
	ProtocolNoise: {
		{requests: []kind{kindOpening, kindAcceptance}},
		{requests: []kind{kindClaims}, put: []string{setBundle}, get: []string{setClaims}},
		{requests: []kind{kindAnswers, kindReceiptRequest}, put: []string{setAnswers}, after: 1},
		{requests: []kind{kindCompletion}},
	},
}

// replyTo is the kind of the reply to each request of an exchange.
var replyTo = map[kind]kind{
	kindOpening: kindOpeningReply, kindAcceptance: kindAcceptanceReply, kindClaims: kindClaimsReply, kindAnswers: kindAnswersReply,
	kindOffer: kindOfferReply, kindResult: kindResultReply, kindReceiptRequest: kindReceiptReply, kindCompletion: kindCompletionReply,
}

func (l *leg) replies() []kind {
	out := make([]kind, len(l.requests))
	for i, k := range l.requests {
		out[i] = replyTo[k]
	}
	return out
}

// fileSubject is the subject of the credential that stands first in every file.
type fileSubject struct {
	Exchange  string `json:"exchange"`
	Number    string `json:"number"`    // of the file in its exchange, from 1
	Payload   string `json:"payload"`   // digest of the chunks in it, hex
	Challenge string `json:"challenge"` // in a file of the responder: for the next of the initiator's files, 32 bytes in hex; else ""
}

// carried is one file of an exchange, made or taken by this node.
type carried struct {
	Number       int             `json:"number"`
	Own          bool            `json:"own,omitempty"`
	Presentation json.RawMessage `json:"presentation"`
	Bound        []string        `json:"bound,omitempty"`    // own: digests of the presentations in which it was signed, the last one is Presentation
	Challenge    string          `json:"challenge"`          // of Presentation
	Signed       time.Time       `json:"signed"`             // own: when Presentation was
	Document     string          `json:"document,omitempty"` // taken: digest of the DID document that verified it
	Pieces       []piece         `json:"pieces,omitempty"`
	Spool        store.SpoolID   `json:"spool,omitempty"` // the chunks, joined
	Job          string          `json:"job,omitempty"`   // taken: that acts on it
}

// piece is one chunk of a set in a spool.
type piece struct {
	Set    string `json:"set"`
	Index  uint32 `json:"index"`
	Size   int    `json:"size"`
	Offset int64  `json:"offset"`
}

func carriedKey(id string, number int) []byte { return fmt.Appendf(nil, "%s/%02d", id, number) }

// carriedFile gives one file of an exchange, nil if there is none.
func (n *Node) carriedFile(ctx context.Context, id string, number int) (c *carried, err error) {
	err = n.store.View(ctx, func(tx *store.Tx) error {
		got, err := n.kept.carried.Get(tx, carriedKey(id, number))
		if errors.Is(err, store.ErrNotFound) {
			return nil
		}
		c = &got
		return err
	})
	return c, err
}

// dropPayloads removes the chunks of the files of an exchange up to a number; the presentations stay as evidence.
func (n *Node) dropPayloads(tx *store.Tx, id string, upTo int) error {
	for number := 1; number <= upTo; number++ {
		c, err := n.kept.carried.Get(tx, carriedKey(id, number))
		if errors.Is(err, store.ErrNotFound) || err == nil && c.Spool == "" {
			continue
		}
		if err != nil {
			return err
		}
		if err := n.store.RemoveSpoolTx(tx, c.Spool); err != nil && !errors.Is(err, store.ErrNotFound) {
			return err
		}
		c.Spool = ""
		if err := n.kept.carried.Put(tx, carriedKey(id, number), c); err != nil {
			return err
		}
	}
	return nil
}

// lastFile is the number of the last file that an exchange in a protocol can have.
func lastFile(protocol string) int { return 2 * len(legs[protocol]) }

// openingChallenge is the challenge of the first file of an exchange. Both sides know it from the agreement: it is bound to that and to the exchange, and the
// responder takes an exchange's opening once.
func openingChallenge(agreement, exchange string) (string, error) {
	a, err1 := hex.DecodeString(agreement)
	e, err2 := hex.DecodeString(exchange)
	if err := errors.Join(err1, err2); err != nil || len(a) != 32 || len(e) != 16 {
		return "", fail(CodeInvalid, "the agreement and the exchange are named by 32 and 16 bytes in hex")
	}
	sum := sha256.Sum256(slices.Concat([]byte("ihyid/file/1 opening"), a, e))
	return hex.EncodeToString(sum[:]), nil
}

// StepFile says what a file of an exchange is, to who carries it.
type StepFile struct {
	Exchange string `json:"exchange"`
	Number   int    `json:"number"` // from 1; the odd ones go from the initiator to the responder
	From     string `json:"from"`   // DID
	To       string `json:"to"`
	Last     bool   `json:"last"`          // no file has to follow
	Known    bool   `json:"known"`         // imported: it had been before, and nothing was changed
	Job      string `json:"job,omitempty"` // imported: acts on what is in it; "" if there is nothing to do
}

func (n *Node) stepFile(s *session, c *carried) StepFile {
	f := StepFile{Exchange: s.ID, Number: c.Number, From: s.Peer, To: n.DID(), Last: c.Number >= lastFile(s.Protocol)-1, Job: c.Job}
	if c.Own {
		f.From, f.To = f.To, f.From
	}
	return f
}

// awaitsFile says that the next step of an exchange needs a file of the other side, which answers that of a leg.
type awaitsFile struct{ leg int }

func (a awaitsFile) Error() string {
	return fmt.Sprintf("waiting for file %d of the exchange", 2*a.leg+2)
}

// messagesOf takes the messages of a verified file apart. Each names, as follows, the one before it.
func messagesOf(m *message) ([]*message, error) {
	var out []*message
	for _, c := range m.Attached {
		o, err := object(c)
		if err != nil {
			return nil, err
		}
		document, method := opened(o)
		typ, subject, err := typeAndSubject(document)
		if err != nil {
			return nil, err
		}
		if typ == typeReceipt {
			if len(out) == 0 {
				return nil, fail(CodeInvalid, "a receipt is handed over with a message")
			}
			last := out[len(out)-1]
			last.Attached = append(last.Attached, c)
			continue
		}
		if suiteOf(o) != messageSuite {
			return nil, fail(CodeInvalid, "the credential of a message is signed with %s", messageSuite)
		}
		next := &message{Kind: kind(typ), From: m.From, Credential: c, Subject: subject, Signer: method, Document: m.Document, Whole: m.Whole, carried: true}
		if next.Digest, err = digestJSON(c); err != nil {
			return nil, err
		}
		if len(out) > 0 {
			next.follows = out[len(out)-1].Digest
		}
		out = append(out, next)
	}
	return out, nil
}

// messagesIn are the messages of a file that was taken, which was verified then.
func (n *Node) messagesIn(ctx context.Context, s *session, c *carried) ([]*message, error) {
	e, err := readEnvelopeOf(c.Presentation, maxCredentialsInAFile)
	if err != nil {
		return nil, err
	}
	doc, err := n.keptDocument(ctx, c.Document)
	if err != nil {
		return nil, fmt.Errorf("the DID document that verified file %d: %w", c.Number, err)
	}
	return messagesOf(&message{From: s.Peer, Attached: e.Credentials[1:], Document: doc, Whole: c.Presentation})
}

// piecesOf says how the chunks of sets must lie in a file, all of them, in order; sizes in bytes.
func (n *Node) piecesOf(s *session, sets []string) []piece {
	var out []piece
	at := int64(0)
	for _, set := range sets {
		c := s.Sets[set]
		extra := 0
		if set == setEvaluated {
			c, extra = s.Sets[setBundle], proofSize
		}
		if c == nil {
			continue
		}
		for i := range c.Chunks() {
			p := piece{Set: set, Index: uint32(i), Size: c.ChunkLen(i)*c.EntrySize + extra, Offset: at}
			at += int64(p.Size)
			out = append(out, p)
		}
	}
	return out
}

// heldResolver resolves the DID of a sender as ever, and where that fails, for want of a network, gives the document that the peer is held to.
type heldResolver struct{ n *Node }

const resolveLimit = 5 * time.Second

func (h heldResolver) Resolve(ctx context.Context, name string) (*did.Resolution, error) {
	limited, cancel := context.WithTimeout(ctx, resolveLimit)
	defer cancel()
	res, err := h.n.resolver.Resolve(limited, name)
	if err == nil || ctx.Err() != nil || did.CodeOf(err) != did.InternalError {
		return res, err // also where it says that there is no such DID, or that it has ended
	}
	r, perr := h.n.peer(ctx, name)
	if perr != nil {
		return nil, err
	}
	doc, perr := h.n.keptDocument(ctx, r.Peer.Document)
	if perr != nil {
		return nil, errors.Join(err, perr)
	}
	return &did.Resolution{Document: doc}, nil
}
