package exchange

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"ihyid/credentials"
	"ihyid/store"
)

const (
	receiptLife = 100 * 365 * 24 * time.Hour // a receipt does not grow old
	// MaxClockDifference is how far the two nodes' clocks may differ for a receipt to be signed by both.
	MaxClockDifference = 10 * time.Minute
)

// Statement is what both sides sign of a finished exchange (PROTOCOL section 8). It holds no personal data. All
// members are strings: digests in lower-case hex, counts in decimal, times in UTC seconds.
type Statement struct {
	V                 string `json:"v"`
	Exchange          string `json:"exchange"`
	Initiator         string `json:"initiator"`
	Responder         string `json:"responder"`
	InitiatorKey      string `json:"initiatorKey"` // DID URL of the key that signs the receipt
	ResponderKey      string `json:"responderKey"`
	InitiatorDocument string `json:"initiatorDocument"` // digest of the DID document
	ResponderDocument string `json:"responderDocument"`
	Agreement         string `json:"agreement"` // digest of the signed registration decision
	Purpose           string `json:"purpose"`
	Profile           string `json:"profile"` // "sha256:…"
	Protocol          string `json:"protocol"`
	Epoch             string `json:"epoch"` // of the responder's VOPRF key; "" in the protocol noise
	PK                string `json:"pk"`    // that key, public, hex
	Transcript        string `json:"transcript"`
	InitiatorRoot     string `json:"initiatorRoot"`
	InitiatorCount    string `json:"initiatorCount"`
	ResponderRoot     string `json:"responderRoot"`
	ResponderCount    string `json:"responderCount"`
	Evaluations       string `json:"evaluations"` // of the budgets; 0 in the protocol noise
	Tags              string `json:"tags"`
	AnswersRoot       string `json:"answersRoot"`
	Matches           string `json:"matches"`
	Possibles         string `json:"possibles"`
	Started           string `json:"started"`
	Ended             string `json:"ended"`
}

// receiptRecord is a receipt as it is kept: both credentials, and both DID documents of that time.
type receiptRecord struct {
	Exchange  string          `json:"exchange"`
	Peer      string          `json:"peer"`
	Initiator json.RawMessage `json:"initiator"`
	Responder json.RawMessage `json:"responder"`
	Statement Statement       `json:"statement"`
	Kept      time.Time       `json:"kept"`
	Status    *ReceiptStatus  `json:"status,omitempty"` // of this node's own signature; nil: good
}

// statement is what this node holds to be true of an exchange; started and ended are the responder's.
func (n *Node) statement(s *session, started, ended string) Statement {
	initiator, responder := n.parties(s)
	st := Statement{
		V: "1", Exchange: s.ID, Initiator: initiator, Responder: responder, InitiatorKey: s.InitiatorKey, ResponderKey: s.ResponderKey,
		InitiatorDocument: s.InitiatorDocument, ResponderDocument: s.ResponderDocument, Agreement: s.Agreement, Purpose: s.Purpose,
		Profile: s.ProfileID, Protocol: s.Protocol, Epoch: s.Epoch, PK: s.PK, Transcript: s.Transcript, Evaluations: "0", Tags: "0",
		AnswersRoot: s.Sets[setAnswers].Root.String(), Matches: fmt.Sprint(s.Pairs), Possibles: fmt.Sprint(s.Maybes), Started: started, Ended: ended,
	}
	s.setRoots(&st)
	if s.Protocol == ProtocolVOPRF {
		points, tags := s.OwnCount, s.PeerCount
		if s.Role == Responder {
			points, tags = tags, points
		}
		st.AnswersRoot = s.WholeRoot
		st.Evaluations, st.Tags = fmt.Sprint(s.BasePoints+points), fmt.Sprint(s.BaseTags+tags)
	}
	return st
}

// onReceiptRequest signs the receipt first: the initiator knew the result before the responder did.
func (n *Node) onReceiptRequest(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, r.Previous, r.Transcript, r.Exchange, kindReceiptReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		if s.State != StateReceipt {
			return nil, nil, nil, notYet(s)
		}
		st := n.statement(s, timeText(s.Created), timeText(n.now()))
		receipt, err := n.issueReceipt(ctx, s.ResponderKey, st)
		if err != nil {
			return nil, nil, nil, err
		}
		return stepSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript}, [][]byte{receipt}, nil, nil
	})
}

func timeText(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// completeReceipt fetches the responder's receipt, holds it against what this node knows, signs the same and hands it over.
func (n *Node) completeReceipt(ctx context.Context, s *session, to peerAddress) error {
	offered, err := n.offeredReceipt(ctx, s, to)
	if err != nil {
		return err
	}
	st, err := readReceipt(offered)
	if err != nil {
		return err
	}
	var mine []byte
	if l, err := n.keptLetter(ctx, s, kindCompletion); err != nil {
		return err
	} else if l == nil {
		if mine, err = n.issueReceipt(ctx, s.InitiatorKey, st); err != nil {
			return err
		}
	} else {
		mine = l.Attached[0]
	}
	var receipt *receiptRecord
	subject := stepSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript}
	if to.carried != nil {
		return n.completeByFile(ctx, s, subject, mine, offered, st)
	}
	return n.ask(ctx, s, to, kindCompletion, kindCompletionReply, subject, [][]byte{mine}, func(m *message, _ string) error {
		var r stepSubject
		if err := m.read(&r); err != nil {
			return err
		}
		if r.Exchange != s.ID {
			return fail(CodeMismatch, "the other node's answer is about another exchange")
		}
		// The letter that was sent may be an older one than mine: it was kept before a restart.
		l, err := n.keptLetter(ctx, s, kindCompletion)
		if err != nil {
			return err
		}
		receipt = &receiptRecord{Exchange: s.ID, Peer: s.Peer, Initiator: l.Attached[0], Responder: offered, Statement: st, Kept: n.now().UTC()}
		s.State = StateDone
		return nil
	}, func(tx *store.Tx) error {
		if err := n.settle(tx, s); err != nil {
			return err
		}
		return n.writeReceipt(tx, *receipt)
	})
}

// offeredReceipt asks for the responder's receipt, once, and checks it.
func (n *Node) offeredReceipt(ctx context.Context, s *session, to peerAddress) ([]byte, error) {
	if l, err := n.keptLetter(ctx, s, kindReceiptReply); err != nil {
		return nil, err
	} else if l != nil {
		return l.Attached[0], nil
	}
	var offered []byte
	subject := stepSubject{Exchange: s.ID, Previous: s.Previous, Transcript: s.Transcript}
	err := n.ask(ctx, s, to, kindReceiptRequest, kindReceiptReply, subject, nil, func(m *message, _ string) error {
		var r stepSubject
		if err := m.read(&r); err != nil {
			return err
		}
		if r.Exchange != s.ID || r.Transcript != s.Transcript || len(m.Attached) != 1 {
			return fail(CodeMismatch, "the other node's receipt is of another exchange")
		}
		var st Statement
		var err error
		if offered, err = m.attached(typeReceipt, &st); err != nil {
			return err
		}
		if !signedWith(offered, s.ResponderKey) {
			return fail(CodeMismatch, "the other node's receipt is signed with another key than the one that it named")
		}
		if err := statusOf(offered, m.Document); err != nil {
			return err
		}
		return n.checkStatement(s, &st)
	}, nil)
	return offered, err
}

// checkStatement holds the other side's statement against the own one: all must be equal, the times near the own ones.
func (n *Node) checkStatement(s *session, st *Statement) error {
	started, err1 := time.Parse(time.RFC3339, st.Started)
	ended, err2 := time.Parse(time.RFC3339, st.Ended)
	if err1 != nil || err2 != nil || ended.Before(started) || timeText(started) != st.Started || timeText(ended) != st.Ended {
		return fail(CodeMismatch, "the times in the receipt cannot be")
	}
	if d := started.Sub(s.Created); d < -MaxClockDifference || started.After(n.now().Add(MaxClockDifference)) {
		return fail(CodeMismatch, "the start in the receipt is off by %s; are both clocks right?", d)
	}
	if d := ended.Sub(n.now()); d > MaxClockDifference || ended.Before(s.Created.Add(-MaxClockDifference)) {
		return fail(CodeMismatch, "the end in the receipt is off by %s; are both clocks right?", d)
	}
	if want := n.statement(s, st.Started, st.Ended); *st != want {
		return fail(CodeMismatch, "the other node's receipt states something else than what this node knows of the exchange")
	}
	return nil
}

// onCompletion takes the initiator's receipt: it must say exactly what our own says.
func (n *Node) onCompletion(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var r stepSubject
	if err := m.read(&r); err != nil {
		return nil, err
	}
	return n.answerStep(ctx, m, r.Previous, r.Transcript, r.Exchange, kindCompletionReply, func(s *session) (any, [][]byte, func(*store.Tx) error, error) {
		own, err := n.keptLetter(ctx, s, kindReceiptReply)
		if err != nil {
			return nil, nil, nil, err
		}
		if s.State != StateReceipt || own == nil {
			return nil, nil, nil, notYet(s)
		}
		var st Statement
		theirs, err := m.attached(typeReceipt, &st)
		if err != nil {
			return nil, nil, nil, err
		}
		if mine, err := readReceipt(own.Attached[0]); err != nil || mine != st {
			return nil, nil, nil, fail(CodeMismatch, "the two receipts do not state the same")
		}
		if !signedWith(theirs, s.InitiatorKey) {
			return nil, nil, nil, fail(CodeMismatch, "the receipt is signed with another key than the one that it names")
		}
		if err := statusOf(theirs, m.Document); err != nil {
			return nil, nil, nil, err
		}
		record := receiptRecord{Exchange: s.ID, Peer: s.Peer, Initiator: theirs, Responder: own.Attached[0], Statement: st, Kept: n.now().UTC()}
		s.State = StateDone
		extra := func(tx *store.Tx) error {
			if err := n.settle(tx, s); err != nil {
				return err
			}
			return n.writeReceipt(tx, record)
		}
		return stepSubject{Exchange: s.ID, Previous: m.Digest, Transcript: s.Transcript}, nil, extra, nil
	})
}

// readReceipt reads the statement of a receipt's credential.
func readReceipt(credential []byte) (st Statement, err error) {
	o, err := object(credential)
	if err != nil {
		return st, err
	}
	document, _ := opened(o)
	typ, subject, err := typeAndSubject(document)
	if err != nil {
		return st, err
	}
	if typ != typeReceipt || !credentials.SameContexts(document, contextOf[typeReceipt]) {
		return st, fail(CodeInvalid, "this credential is not a match receipt")
	}
	return st, readExact(subject, &st)
}

// Receipts lists all receipts, newest first.
func (n *Node) Receipts(ctx context.Context) ([]ReceiptInfo, error) {
	out := []ReceiptInfo{}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.receipts.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			r := item.Value
			name, err := n.peerName(tx, r.Peer)
			if err != nil {
				return err
			}
			info, err := r.info(name)
			if err != nil {
				return err
			}
			out = append(out, info)
		}
		return nil
	})
	slices.SortFunc(out, func(a, b ReceiptInfo) int { return b.Ended.Compare(a.Ended) })
	return out, err
}

// info is a receipt as it stands in lists.
func (r *receiptRecord) info(peerName string) (ReceiptInfo, error) {
	matches, err1 := parseCount(r.Statement.Matches)
	possibles, err2 := parseCount(r.Statement.Possibles)
	ended, err3 := r.ended()
	if err := errors.Join(err1, err2, err3); err != nil {
		return ReceiptInfo{}, fmt.Errorf("receipt %s is damaged: %w", r.Exchange, err)
	}
	return ReceiptInfo{
		ID: r.Exchange, Exchange: r.Exchange, Peer: r.Peer, PeerName: peerName, Purpose: r.Statement.Purpose, Profile: r.Statement.Profile,
		Protocol: r.Statement.Protocol, Matches: matches, Possible: possibles, Ended: ended,
		Status: statusIn(*r),
	}, nil
}

// receiptType is the type of a receipt file.
const receiptType = "IhyidReceipt"

// receiptFile is a receipt as an auditor gets it.
type receiptFile struct {
	Type         string                     `json:"type"`
	V            string                     `json:"v"`
	Receipts     []json.RawMessage          `json:"receipts"`     // the initiator's credential, then the responder's
	DIDDocuments map[string]json.RawMessage `json:"didDocuments"` // of both, as they were; to be believed only if found elsewhere too
}

// Receipt gives one receipt as a file that can be verified without this node.
func (n *Node) Receipt(ctx context.Context, id string) ([]byte, error) {
	f := receiptFile{Type: receiptType, V: "1", DIDDocuments: map[string]json.RawMessage{}}
	err := n.store.View(ctx, func(tx *store.Tx) error {
		r, err := n.kept.receipts.Get(tx, []byte(id))
		if errors.Is(err, store.ErrNotFound) {
			return fail(CodeNotFound, "there is no receipt %s here", oneLine(id, 64))
		}
		if err != nil {
			return err
		}
		f.Receipts = []json.RawMessage{r.Initiator, r.Responder}
		for name, digest := range map[string]string{r.Statement.Initiator: r.Statement.InitiatorDocument, r.Statement.Responder: r.Statement.ResponderDocument} {
			d, err := n.document(tx, digest)
			if err != nil {
				return fmt.Errorf("the DID document of %s: %w", name, err)
			}
			f.DIDDocuments[name] = d.Document
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(f, "", "  ")
}
