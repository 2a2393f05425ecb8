package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"ihyid/credentials"
	"ihyid/did"
)

// A kind is the type of a message's credential, and the action that its challenge is bound to.
type kind string

// The kinds of message. A request and its reply stand side by side.
const (
	kindIntroduction         kind = "IhyidIntroduction" // who are you?
	kindIntroductionReply    kind = "IhyidIntroductionReply"
	kindRegistration         kind = "IhyidRegistrationRequest"
	kindRegistrationReply    kind = "IhyidRegistrationReceived"
	kindDecision             kind = "IhyidRegistrationDecision"
	kindDecisionReply        kind = "IhyidRegistrationDecisionReceived"
	kindOpening              kind = "IhyidBundle" // an exchange is opened by the bundle's commitment
	kindOpeningReply         kind = "IhyidBundleReceived"
	kindAcceptance           kind = "IhyidAcceptanceRequest"
	kindAcceptanceReply      kind = "IhyidAcceptance"
	kindClaims               kind = "IhyidClaimsRequest"
	kindClaimsReply          kind = "IhyidClaims"
	kindAnswers              kind = "IhyidAnswers"
	kindAnswersReply         kind = "IhyidAnswersReceived"
	kindOffer                kind = "IhyidClaimsOffer" // protocol voprf: the initiator claims
	kindOfferReply           kind = "IhyidClaimsReceived"
	kindResult               kind = "IhyidAnswersRequest" // and the responder answers
	kindResultReply          kind = "IhyidAnswersOffered"
	kindProposal             kind = "IhyidAgreementProposal"
	kindProposalReply        kind = "IhyidAgreementProposalReceived"
	kindConsent              kind = "IhyidAgreementDecision"
	kindConsentReply         kind = "IhyidAgreementDecisionReceived"
	kindReceiptRequest       kind = "IhyidReceiptRequest"
	kindReceiptReply         kind = "IhyidReceiptOffered"
	kindCompletion           kind = "IhyidReceiptCompletion"
	kindCompletionReply      kind = "IhyidReceiptCompleted"
	kindCancellation         kind = "IhyidCancellation" // of an exchange, by either side
	kindCancellationReply    kind = "IhyidCancellationReceived"
	kindFile                 kind = "IhyidFile" // stands first in what is carried as a file
	typeOrganisation              = "IhyidOrganisationCredential"
	typeReceipt                   = "IhyidMatchReceipt"
	typeAgreement                 = "IhyidAgreement"
	presentationLife              = 10 * time.Minute
	messageLife                   = 60 * 24 * time.Hour // a message may be sent again much later, on a bad line
	verifyLimit                   = 30 * time.Second
	maxDID                        = 400 // bytes
	organisationLife              = 10 * 365 * 24 * time.Hour
	maxCredentialsInAMessage      = 4
)

// message is a verified message, or one that this node is about to send.
type message struct {
	Kind       kind
	From       string
	Credential []byte        // the secured credential, in RFC 8785 form
	Digest     string        // of the credential: SHA-256 of its RFC 8785 form, hex
	Subject    []byte        // its credentialSubject, in RFC 8785 form
	Signer     string        // verification method that signed the credential
	Attached   [][]byte      // further credentials handed over, each verified, in RFC 8785 form
	Document   *did.Document // of the sender, that verified it all
	Whole      []byte        // the presentation, as it came

	carried bool   // it came in a file
	follows string // in a file: the digest of the message before it, which it must name as `previous`; "" for the first
}

// issue makes and signs a credential of this node about subject, a struct that marshals to an object of strings.
func (n *Node) issue(ctx context.Context, typ string, subject any, life time.Duration) ([]byte, error) {
	key, err := n.signingKey(ctx, did.AssertionMethod)
	if err != nil {
		return nil, err
	}
	return n.issueWith(ctx, key, typ, subject, life)
}

// issueBy signs with the key of one verification method of this node, "" for the newest.
func (n *Node) issueBy(ctx context.Context, method, typ string, subject any, life time.Duration) ([]byte, error) {
	if method == "" {
		return n.issue(ctx, typ, subject, life)
	}
	key, err := n.keyOf(ctx, method)
	if err != nil {
		return nil, err
	}
	return n.issueWith(ctx, key, typ, subject, life)
}

// present wraps credentials in a presentation for one receiver and one challenge.
func (n *Node) present(ctx context.Context, to, challenge string, vcs ...[]byte) ([]byte, error) {
	return n.presentFor(ctx, presentationLife, to, challenge, vcs...)
}

// presentFor makes a presentation that is good for some time.
func (n *Node) presentFor(ctx context.Context, life time.Duration, to, challenge string, vcs ...[]byte) ([]byte, error) {
	raw := make([]json.RawMessage, len(vcs))
	for i, c := range vcs {
		raw[i] = c
	}
	id, err := n.randomURN()
	if err != nil {
		return nil, err
	}
	unsecured, err := json.Marshal(map[string]any{
		"@context":             []any{credentials.ContextV2},
		"id":                   id,
		"type":                 []string{"VerifiablePresentation"},
		"holder":               n.DID(),
		"verifiableCredential": raw,
	})
	if err != nil {
		return nil, fmt.Errorf("writing a presentation: %w", err)
	}
	key, err := n.signingKey(ctx, "authentication")
	if err != nil {
		return nil, err
	}
	now := n.now().UTC().Truncate(time.Second)
	return n.issuer.Presentation(ctx, unsecured, key, credentials.ProofOptions{
		Purpose: "authentication", Created: now, Expires: now.Add(life),
		Challenge: challenge, Domain: []string{to},
	})
}

// envelope is what must be read of a presentation before it can be verified. None of it is believed yet.
type envelope struct {
	Holder      string
	Challenge   string
	Kind        kind
	Exchange    string // of the subject of the first credential, if it has one
	Subject     []byte
	Signer      string
	Credentials [][]byte // in RFC 8785 form
	Created     time.Time
}

// readEnvelope reads a presentation by exact names. It also makes sure that the presentation and each credential have one proof each, by a key
// of the holder: so verifying it asks for one DID document and no other.
func readEnvelope(presentation []byte) (*envelope, error) {
	return readEnvelopeOf(presentation, maxCredentialsInAMessage)
}

func readEnvelopeOf(presentation []byte, most int) (*envelope, error) {
	if len(presentation) > MaxPresentation {
		return nil, fail(CodeTooLarge, "a presentation is at most %d bytes", MaxPresentation)
	}
	p, err := object(presentation)
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Detail: "the presentation is not strict JSON", Err: err}
	}
	e := &envelope{Holder: text(p, "holder")}
	if _, err := did.Parse(e.Holder); err != nil || len(e.Holder) > maxDID {
		return nil, fail(CodeInvalid, "the presentation names no holder, as a DID of at most %d bytes", maxDID)
	}
	proof, ok := p["proof"].(map[string]any)
	if !ok || text(proof, "cryptosuite") != messageSuite || !ofDID(signer(p), e.Holder) {
		return nil, fail(CodeInvalid, "a message is a presentation with one proof (%s), by a key of its holder", messageSuite)
	}
	e.Challenge = text(proof, "challenge")
	e.Created, _ = time.Parse(time.RFC3339, text(proof, "created"))
	all, _ := p["verifiableCredential"].([]any)
	if len(all) == 0 || len(all) > most {
		return nil, fail(CodeInvalid, "a message holds 1 to %d credentials, this one %d", most, len(all))
	}
	for i, c := range all {
		credential, ok := c.(map[string]any)
		document, method := opened(credential)
		if !ok || !ofDID(method, e.Holder) {
			return nil, fail(CodePresentation, "a credential in the message was issued by somebody other than its sender")
		}
		typ, subject, err := typeAndSubject(document)
		if err != nil {
			return nil, err
		}
		if context, ok := contextOf[typ]; !ok {
			return nil, fail(CodeUnsupported, "this node knows no message of that type")
		} else if !credentials.SameContexts(document, context) {
			return nil, fail(CodeInvalid, "the credential defines its terms otherwise than the protocol does")
		}
		if _, ok := document["credentialStatus"]; ok && typ != typeReceipt {
			return nil, fail(CodeInvalid, "only receipts have a status; what a message says is said at once")
		}
		e.Credentials = append(e.Credentials, canonical(credential))
		if i == 0 {
			if suiteOf(credential) != messageSuite {
				return nil, fail(CodeInvalid, "the credential of a message is signed with %s", messageSuite)
			}
			var in map[string]any
			if in, err = object(subject); err != nil {
				return nil, fail(CodeInvalid, "the subject of the message cannot be read")
			}
			e.Kind, e.Subject, e.Exchange, e.Signer = kind(typ), subject, text(in, "exchange"), signer(credential)
		}
	}
	return e, nil
}

// document is the digest that a message states of its sender's DID document, "" if it states none.
func (e *envelope) document() string {
	member, ok := map[kind]string{
		kindRegistration: "document", kindDecision: "document", kindOpening: "initiatorDocument", kindAcceptanceReply: "responderDocument",
	}[e.Kind]
	if !ok {
		return ""
	}
	in, err := object(e.Subject)
	if err != nil {
		return ""
	}
	return text(in, member)
}

// verify checks a presentation whole: its proof, holder, domain and challenge, and every credential in it, each of which
// the holder itself must have issued.
func (n *Node) verify(ctx context.Context, presentation []byte, e *envelope, from, challenge string) (*message, error) {
	return n.verifyBy(ctx, &documentKeys{resolver: n.resolver, refresh: n.refresh}, presentation, e, from, challenge)
}

func (n *Node) verifyBy(ctx context.Context, keys *documentKeys, presentation []byte, e *envelope, from, challenge string) (*message, error) {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	m, err := n.verifyWith(ctx, keys, presentation, e, from, challenge)
	if err != nil {
		return nil, err
	}
	digest := documentDigest(m.Document)
	if stated := e.document(); (stated != "" && stated != digest || n.isPast(ctx, from, digest)) && keys.again(ctx, from) {
		// The sender's document is a newer one than the one at hand: its keys may have changed.
		return n.verifyWith(ctx, keys, presentation, e, from, challenge)
	}
	return m, nil
}

func (n *Node) verifyWith(ctx context.Context, keys *documentKeys, presentation []byte, e *envelope, from, challenge string) (*message, error) {
	v := &credentials.Verifier{Keys: keys, Clock: n.now}
	result := v.Presentation(ctx, presentation, credentials.PresentationOptions{
		Challenge: challenge, Domain: []string{n.DID()}, Holder: from,
		SkipStatus: "a receipt that is being exchanged was signed a moment ago; auditors look its status up",
	})
	if err := result.Err(); err != nil {
		if rerr := keys.failure(); rerr != nil {
			return nil, &Error{Code: CodeResolution, Detail: "the sender's DID could not be resolved, so its presentation cannot be verified", Err: rerr}
		}
		return nil, &Error{Code: CodePresentation, Detail: "the presentation was refused", Err: err}
	}
	if len(result.Credentials) != len(e.Credentials) {
		return nil, fail(CodePresentation, "not every credential of the presentation was verified")
	}
	for i, c := range result.Credentials {
		if c.Issuer != from || !bytes.Equal(canonical(c.Document), inside(e.Credentials[i])) {
			return nil, fail(CodePresentation, "a credential in the message was issued by somebody other than its sender")
		}
	}
	m := &message{Kind: e.Kind, From: from, Credential: e.Credentials[0], Subject: e.Subject, Signer: e.Signer, Attached: e.Credentials[1:], Whole: presentation}
	var err error
	if m.Digest, err = digestJSON(m.Credential); err != nil {
		return nil, err
	}
	if m.Document = keys.document(from); m.Document == nil {
		return nil, fail(CodePresentation, "the presentation was verified without its holder's DID document")
	}
	return m, nil
}

// inside is a credential opened, in RFC 8785 form.
func inside(credential []byte) []byte {
	o, err := object(credential)
	if err != nil {
		return nil
	}
	document, _ := opened(o)
	return canonical(document)
}

// read decodes the subject of a verified message strictly: what the protocol does not know in it is an error, and so is what is missing.
func (m *message) read(into any) error { return readExact(m.Subject, into) }

// attached finds the one attached credential of a type and reads its subject.
func (m *message) attached(typ string, into any) ([]byte, error) {
	for _, c := range m.Attached {
		o, err := object(c)
		if err != nil {
			return nil, err
		}
		document, _ := opened(o)
		got, subject, err := typeAndSubject(document)
		if err != nil {
			return nil, err
		}
		if got == typ {
			return c, readExact(subject, into)
		}
	}
	return nil, fail(CodeInvalid, "the message should hand over a credential of type %s and does not", typ)
}

// peerAddress is where a peer can be reached.
type peerAddress struct {
	DID      string
	Endpoint string
	carried  *session // not nil: by files, of this exchange
}

// converse sends one credential (and what it hands over) to a peer as a presentation, and verifies the reply, which must be of
// the kind wanted and name the credential as `previous`.
func (n *Node) converse(ctx context.Context, to peerAddress, k kind, exchangeID string, want kind, vcs ...[]byte) (*message, string, error) {
	if to.carried != nil {
		m, err := n.converseByFile(ctx, to.carried, k, want, vcs[0])
		return m, "", err
	}
	ask, err := json.Marshal(ChallengeRequest{Sender: n.DID(), Action: string(k), Exchange: exchangeID})
	if err != nil {
		return nil, "", err
	}
	body, err := n.call(ctx, TransportRequest{Method: "POST", URL: to.Endpoint + "/challenges", Route: "/challenges", ContentType: "application/json", Body: ask, MaxReply: maxSmallReply})
	if err != nil {
		return nil, "", err
	}
	var ch Challenge
	if err := json.Unmarshal(body, &ch); err != nil || len(ch.Challenge) != 64 {
		return nil, "", fail(CodePeerError, "the other node's challenge cannot be read")
	}
	presentation, err := n.present(ctx, to.DID, ch.Challenge, vcs...)
	if err != nil {
		return nil, "", err
	}
	body, err = n.call(ctx, TransportRequest{Method: "POST", URL: to.Endpoint + "/messages", Route: "/messages", ContentType: "application/vp", Body: presentation, MaxReply: MaxPresentation + maxSmallReply})
	if err != nil {
		return nil, "", err
	}
	var reply Reply
	if err := json.Unmarshal(body, &reply); err != nil {
		return nil, "", fail(CodePeerError, "the other node's reply cannot be read")
	}
	e, err := readEnvelope(reply.Presentation)
	if err != nil {
		return nil, "", err
	}
	bound, err := digestJSON(presentation)
	if err != nil {
		return nil, "", err
	}
	m, err := n.verify(ctx, reply.Presentation, e, to.DID, bound)
	if err != nil {
		return nil, "", err
	}
	if err := n.hold(ctx, to.DID, m.Document); err != nil {
		return nil, "", err
	}
	if m.Kind != want {
		return nil, "", fail(CodePeerError, "the other node answered with a message of another kind than the protocol has here")
	}
	sent, err := digestJSON(vcs[0])
	if err != nil {
		return nil, "", err
	}
	if head, err := object(m.Subject); err != nil || text(head, "previous") != sent {
		return nil, "", fail(CodePeerError, "the other node's reply does not answer what was sent")
	}
	return m, reply.Token, nil
}

// answer wraps the credentials of a reply in a presentation bound to the request.
func (n *Node) answer(ctx context.Context, request *message, vcs ...[]byte) ([]byte, error) {
	bound, err := digestJSON(request.Whole)
	if err != nil {
		return nil, err
	}
	return n.present(ctx, request.From, bound, vcs...)
}

// temporary reports whether trying again later may help without anyone doing anything.
func temporary(err error) bool {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return true
	}
	var p *PeerProblem
	if errors.As(err, &p) {
		// A challenge is lost when the other node restarts between the two requests.
		return p.Temporary() || p.Type == string(CodeChallenge)
	}
	c := CodeOf(err)
	return c == CodeUnreachable || c == CodeResolution || c == CodeTooMany
}
