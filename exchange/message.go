package exchange

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/gowebpki/jcs"

	"ihyid/credentials"
	"ihyid/credentials/ijson"
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
	kindReceiptRequest       kind = "IhyidReceiptRequest"
	kindReceiptReply         kind = "IhyidReceiptOffered"
	kindCompletion           kind = "IhyidReceiptCompletion"
	kindCompletionReply      kind = "IhyidReceiptCompleted"
	typeOrganisation              = "IhyidOrganisationCredential"
	typeReceipt                   = "IhyidMatchReceipt"
	presentationLife              = 10 * time.Minute
	messageLife                   = 24 * time.Hour
	organisationLife              = 10 * 365 * 24 * time.Hour
	maxCredentialsInAMessage      = 4
)

// message is a verified message, or one that this node is about to send.
type message struct {
	Kind       kind
	From       string
	Credential []byte          // the secured credential, as it came
	Digest     string          // of the credential: SHA-256 of its RFC 8785 form, hex
	Subject    json.RawMessage // its credentialSubject
	Attached   [][]byte        // further credentials handed over, each verified
	Documents  []string        // digests of the sender's DID document that verified it, hex
	Whole      []byte          // the presentation
}

// digestJSON is SHA-256 of the RFC 8785 form of doc, in lower-case hex.
func digestJSON(doc []byte) (string, error) {
	canonical, err := jcs.Transform(doc)
	if err != nil {
		return "", fail(CodeInvalid, "JSON that has no canonical form (RFC 8785)")
	}
	sum := sha256.Sum256(canonical)
	return hex.EncodeToString(sum[:]), nil
}

// issue makes and signs a credential of this node about subject, a struct that marshals to an object of strings.
func (n *Node) issue(ctx context.Context, typ string, subject any, life time.Duration) ([]byte, error) {
	now := n.now().UTC().Truncate(time.Second)
	id, err := n.randomURN()
	if err != nil {
		return nil, err
	}
	unsecured, err := json.Marshal(map[string]any{
		"@context":          []any{credentials.ContextV2, termsContext},
		"id":                id,
		"type":              []string{"VerifiableCredential", typ},
		"issuer":            n.DID(),
		"validFrom":         now.Format(time.RFC3339),
		"validUntil":        now.Add(life).Format(time.RFC3339),
		"credentialSubject": subject,
	})
	if err != nil {
		return nil, fmt.Errorf("writing a credential: %w", err)
	}
	key, err := n.signingKey(ctx, "assertionMethod")
	if err != nil {
		return nil, err
	}
	return n.issuer.Credential(ctx, unsecured, key, credentials.ProofOptions{Purpose: "assertionMethod", Created: now})
}

// present wraps credentials in a presentation for one receiver and one challenge.
func (n *Node) present(ctx context.Context, to, challenge string, vcs ...[]byte) ([]byte, error) {
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
		Purpose: "authentication", Created: now, Expires: now.Add(presentationLife),
		Challenge: challenge, Domain: []string{to},
	})
}

// envelope is what must be read of a presentation before it can be verified. None of it is believed yet.
type envelope struct {
	Holder     string
	Challenge  string
	Kind       kind
	Exchange   string // of the subject of the first credential, if it has one
	Subject    json.RawMessage
	Credential []json.RawMessage
}

func readEnvelope(presentation []byte) (*envelope, error) {
	if len(presentation) > MaxPresentation {
		return nil, fail(CodeTooLarge, "a presentation is at most %d bytes", MaxPresentation)
	}
	if _, err := ijson.ParseObject(presentation, ijson.Limits{}); err != nil {
		return nil, &Error{Code: CodeInvalid, Detail: "the presentation is not strict JSON", Err: err}
	}
	var p struct {
		Holder     json.RawMessage   `json:"holder"`
		Credential []json.RawMessage `json:"verifiableCredential"`
		Proof      struct {
			Challenge string `json:"challenge"`
		} `json:"proof"`
	}
	if err := json.Unmarshal(presentation, &p); err != nil {
		return nil, fail(CodeInvalid, "the presentation does not have the shape of a message between nodes (one holder, one proof, an array of credentials)")
	}
	if len(p.Credential) == 0 || len(p.Credential) > maxCredentialsInAMessage {
		return nil, fail(CodeInvalid, "a message holds 1 to %d credentials, this one %d", maxCredentialsInAMessage, len(p.Credential))
	}
	e := &envelope{Challenge: p.Proof.Challenge, Credential: p.Credential}
	if err := json.Unmarshal(p.Holder, &e.Holder); err != nil || e.Holder == "" {
		return nil, fail(CodeInvalid, "the presentation names no holder")
	}
	typ, subject, err := typeAndSubject(p.Credential[0])
	if err != nil {
		return nil, err
	}
	var in struct {
		Exchange string `json:"exchange"`
	}
	_ = json.Unmarshal(subject, &in) // absent or odd: the strict reading comes after verification
	e.Kind, e.Subject, e.Exchange = kind(typ), subject, in.Exchange
	return e, nil
}

// typeAndSubject reads the one type of ours that a credential has, and its subject.
func typeAndSubject(credential []byte) (string, json.RawMessage, error) {
	var c struct {
		Type    []string        `json:"type"`
		Subject json.RawMessage `json:"credentialSubject"`
	}
	if err := json.Unmarshal(credential, &c); err != nil || len(c.Type) != 2 || c.Type[0] != "VerifiableCredential" {
		return "", nil, fail(CodeInvalid, "a message's credential has two types, VerifiableCredential and its own")
	}
	return c.Type[1], c.Subject, nil
}

// verify checks a presentation whole: its proof, holder, domain and challenge, and every credential in it, each of which
// the holder itself must have issued.
func (n *Node) verify(ctx context.Context, presentation []byte, e *envelope, from, challenge string) (*message, error) {
	keys := &documentKeys{resolver: n.resolver}
	v := &credentials.Verifier{Keys: keys, Clock: n.now}
	result := v.Presentation(ctx, presentation, credentials.PresentationOptions{Challenge: challenge, Domain: []string{n.DID()}, Holder: from})
	if err := result.Err(); err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if rerr := keys.failure(); rerr != nil {
			return nil, &Error{Code: CodeResolution, Detail: "the sender's DID could not be resolved, so its presentation cannot be verified", Err: rerr}
		}
		return nil, &Error{Code: CodePresentation, Detail: "the presentation was refused", Err: err}
	}
	if len(result.Credentials) != len(e.Credential) {
		return nil, fail(CodePresentation, "not every credential of the presentation was verified")
	}
	for _, c := range result.Credentials {
		if c.Issuer != from {
			return nil, fail(CodePresentation, "a credential in the message was issued by somebody other than its sender")
		}
	}
	m := &message{Kind: e.Kind, From: from, Credential: e.Credential[0], Subject: e.Subject, Whole: presentation}
	for _, c := range e.Credential[1:] {
		m.Attached = append(m.Attached, c)
	}
	var err error
	if m.Digest, err = digestJSON(m.Credential); err != nil {
		return nil, err
	}
	docs := keys.used()
	for _, d := range docs {
		m.Documents = append(m.Documents, documentDigest(d))
	}
	if err := n.keepDocuments(ctx, docs); err != nil {
		return nil, err
	}
	return m, nil
}

// read decodes the subject of a verified message strictly: a member that the protocol does not know is an error.
func (m *message) read(into any) error { return readSubject(m.Subject, into) }

func readSubject(subject []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(subject))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fail(CodeInvalid, "the subject of the message does not have the form that its type asks for")
	}
	return nil
}

// attached finds the one attached credential of a type and reads its subject.
func (m *message) attached(typ string, into any) ([]byte, error) {
	for _, c := range m.Attached {
		got, subject, err := typeAndSubject(c)
		if err != nil {
			return nil, err
		}
		if got == typ {
			return c, readSubject(subject, into)
		}
	}
	return nil, fail(CodeInvalid, "the message should hand over a credential of type %s and does not", typ)
}

// peerAddress is where a peer can be reached.
type peerAddress struct {
	DID      string
	Endpoint string
}

// converse sends one credential (and what it hands over) to a peer as a presentation, and verifies the reply, which must be of
// the kind wanted and name the credential as `previous`.
func (n *Node) converse(ctx context.Context, to peerAddress, k kind, exchangeID string, want kind, vcs ...[]byte) (*message, string, error) {
	ask, err := json.Marshal(ChallengeRequest{Sender: n.DID(), Action: string(k), Exchange: exchangeID})
	if err != nil {
		return nil, "", err
	}
	body, err := n.call(ctx, TransportRequest{Method: "POST", URL: to.Endpoint + "/challenges", ContentType: "application/json", Body: ask, MaxReply: maxSmallReply})
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
	body, err = n.call(ctx, TransportRequest{Method: "POST", URL: to.Endpoint + "/messages", ContentType: "application/vp", Body: presentation, MaxReply: MaxPresentation + maxSmallReply})
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
	if m.Kind != want {
		return nil, "", fail(CodePeerError, "the other node answered with a message of another kind than the protocol has here")
	}
	sent, err := digestJSON(vcs[0])
	if err != nil {
		return nil, "", err
	}
	var head struct {
		Previous string `json:"previous"`
	}
	if err := json.Unmarshal(m.Subject, &head); err != nil || head.Previous != sent {
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
