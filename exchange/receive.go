package exchange

import (
	"context"
	"crypto/sha256"
	"encoding/hex"

	"ihyid/did"
)

// Challenge issues a challenge for one message. It is given to anybody: whether the sender is registered here is said only to
// who proves to be that sender.
func (n *Node) Challenge(_ context.Context, r ChallengeRequest) (Challenge, error) {
	if _, err := did.Parse(r.Sender); err != nil || len(r.Sender) > maxDID {
		return Challenge{}, fail(CodeInvalid, "the sender of the message to come must be a DID of at most %d bytes", maxDID)
	}
	if _, ok := handlers[kind(r.Action)]; !ok {
		return Challenge{}, fail(CodeUnsupported, "this node knows no message of that type")
	}
	if r.Exchange != "" && !isHex(r.Exchange, 16) {
		return Challenge{}, fail(CodeInvalid, "an exchange id is 16 bytes in hex")
	}
	return n.challenges.issue(r)
}

func isHex(s string, size int) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == size && hex.EncodeToString(b) == s
}

// forSender keeps from the sender of a message why something that it named could not be fetched, its DID document or its list of changes: it chose the
// name, and the cause may tell addresses and open ports behind this node's firewall. The cause goes to the log.
func (n *Node) forSender(err error) error {
	code := CodeOf(err)
	if code != CodeResolution && code != CodeUnreachable {
		return err
	}
	n.log.Warn("a message was refused: its sender could not be looked at", "error", err)
	why := "this node could not fetch it"
	switch c := did.CodeOf(err); c {
	case did.NotFound, did.Deactivated, did.InvalidDIDDocument, did.MethodNotSupported, did.InvalidDID:
		why = string(c)
	}
	return fail(code, "the sender's DID document, or what leads to it, could not be had, so its message cannot be verified: %s", why)
}

// reply is what a handler answers: credentials to present, and perhaps a bearer token.
type reply struct {
	credentials [][]byte
	token       string
}

// handler acts on one kind of verified message. peer is nil for a sender that is not registered here.
type handler struct {
	open   bool // also for senders that are not approved peers
	handle func(n *Node, ctx context.Context, m *message, peer *peerRecord) (*reply, error)
}

var handlers = map[kind]handler{
	kindIntroduction:   {true, (*Node).onIntroduction},
	kindRegistration:   {true, (*Node).onRegistration},
	kindDecision:       {true, (*Node).onDecision},
	kindOpening:        {false, (*Node).onOpening},
	kindAcceptance:     {false, (*Node).onAcceptance},
	kindClaims:         {false, (*Node).onClaims},
	kindAnswers:        {false, (*Node).onAnswers},
	kindOffer:          {false, (*Node).onOffer},
	kindResult:         {false, (*Node).onResult},
	kindProposal:       {false, (*Node).onProposal},
	kindConsent:        {false, (*Node).onConsent},
	kindReceiptRequest: {false, (*Node).onReceiptRequest},
	kindCompletion:     {false, (*Node).onCompletion},
	kindCancellation:   {false, (*Node).onCancellation},
}

// handsOver is how many credentials a message may hand over beside its own. All that it holds is kept.
var handsOver = map[kind]int{kindRegistration: 1, kindDecision: 1, kindProposal: 1, kindConsent: 1, kindCompletion: 1}

// Message takes one presentation from another node, verifies it whole, acts on it and gives the reply. Nothing changes
// unless all of it verifies.
func (n *Node) Message(ctx context.Context, presentation []byte) (Reply, error) {
	r, err := n.message(ctx, presentation)
	return r, n.forSender(err)
}

func (n *Node) message(ctx context.Context, presentation []byte) (Reply, error) {
	e, err := readEnvelope(presentation)
	if err != nil {
		return Reply{}, err
	}
	h, ok := handlers[e.Kind]
	if !ok {
		return Reply{}, fail(CodeUnsupported, "this node knows no message of that type")
	}
	bound := ChallengeRequest{Sender: e.Holder, Action: string(e.Kind), Exchange: e.Exchange}
	if err := n.challenges.check(e.Challenge, bound); err != nil {
		return Reply{}, err
	}
	peer, err := n.peer(ctx, e.Holder)
	if err != nil && CodeOf(err) != CodeUnknownPeer {
		return Reply{}, err
	}
	if peer == nil {
		// Resolving a stranger's DID costs us a request to an address of its choice: a few at once, no more.
		select {
		case n.strangers <- struct{}{}:
			defer func() { <-n.strangers }()
		default:
			return Reply{}, fail(CodeTooMany, "too many unregistered nodes are being looked at; try again in a minute")
		}
	}
	if most := handsOver[e.Kind]; len(e.Credentials)-1 > most {
		return Reply{}, fail(CodeInvalid, "a message of that type hands over %d credentials, this one %d", most, len(e.Credentials)-1)
	}
	m, err := n.verify(ctx, presentation, e, e.Holder, e.Challenge)
	if err != nil {
		return Reply{}, err
	}
	if err := n.challenges.use(e.Challenge, bound, peer != nil); err != nil {
		return Reply{}, err
	}
	if peer, err = n.admit(ctx, m, peer, h.open); err != nil {
		return Reply{}, err
	}
	if s, err := n.session(ctx, e.Exchange); err == nil && s.ByFile && s.Peer == m.From && m.Kind != kindCancellation {
		return Reply{}, fail(CodeConflict, "this exchange is carried by files; it ends as it began")
	}
	r, err := h.handle(n, ctx, m, peer)
	if err != nil {
		return Reply{}, err
	}
	out, err := n.answer(ctx, m, r.credentials...)
	if err != nil {
		return Reply{}, err
	}
	return Reply{Presentation: out, Token: r.token}, nil
}

// admit says whether the sender of a verified message may send it: to what it is held, and how its registration stands. It gives the peer as it is
// then.
func (n *Node) admit(ctx context.Context, m *message, peer *peerRecord, open bool) (*peerRecord, error) {
	if peer != nil && peer.Peer.State == PeerSuspended {
		return nil, fail(CodePeerSuspended, "this node has suspended you; ask its administrator why")
	}
	if peer != nil {
		if err := n.hold(ctx, m.From, m.Document); err != nil {
			return nil, err
		}
		var err error
		if peer, err = n.peer(ctx, m.From); err != nil {
			return nil, err
		}
	}
	if !open {
		switch {
		case peer == nil:
			return nil, fail(CodeUnknownPeer, "you are not registered here; ask to be registered first")
		case peer.Peer.State != PeerApproved:
			return nil, fail(CodePeerState, "your registration here is not approved (%s)", peer.Peer.State)
		}
	}
	return peer, nil
}

func (n *Node) onIntroduction(ctx context.Context, m *message, _ *peerRecord) (*reply, error) {
	var s introductionSubject
	if err := m.read(&s); err != nil {
		return nil, err
	}
	if s.ID != m.From {
		return nil, fail(CodeInvalid, "an introduction is about its sender")
	}
	mine, err := n.issue(ctx, string(kindIntroductionReply), introductionSubject{ID: n.DID(), Previous: m.Digest}, messageLife)
	if err != nil {
		return nil, err
	}
	return &reply{credentials: [][]byte{mine, n.self().Credential}}, nil
}

func (n *Node) onRegistration(ctx context.Context, m *message, peer *peerRecord) (*reply, error) {
	var s registrationSubject
	if err := m.read(&s); err != nil {
		return nil, err
	}
	var org organisationSubject
	credential, err := m.attached(typeOrganisation, &org)
	if err != nil {
		return nil, err
	}
	if err := n.checkParty(ctx, m, s.ID, s.Peer, s.Organisation, s.Document, credential, org); err != nil {
		return nil, err
	}
	endpoint, err := endpointOf(m.Document)
	if err != nil {
		return nil, err
	}
	if peer == nil || peer.Peer.State == PeerRefused {
		if err := n.roomForStranger(ctx); err != nil {
			return nil, err
		}
	}
	state := PeerRequested
	err = n.putPeer(ctx, m.From, m.Document, func(now *peerRecord) (*peerRecord, error) {
		if now != nil && sameJSON(now.Request, m.Credential) {
			state = now.Peer.State
			return nil, nil // heard before
		}
		switch {
		case now == nil || now.Peer.State == PeerRefused:
		case now.Peer.State == PeerSuspended:
			return nil, fail(CodePeerSuspended, "this node has suspended you; ask its administrator why")
		case now.Peer.State == PeerApproved && !now.Peer.Undelivered:
			return nil, fail(CodeConflict, "you are registered here already")
		case now.Peer.State == PeerInvited:
			// Both asked at once: the request of the node whose DID sorts first stands.
			if n.DID() < m.From {
				state = PeerInvited
				return nil, nil
			}
			if org.organisation() != now.Peer.Organisation {
				return nil, fail(CodeMismatch, "this node expects another organisation behind your DID")
			}
		case now.Peer.Organisation != org.organisation():
			// What the administrator is looking at must not change under his eyes.
			return nil, fail(CodeConflict, "a request of yours in the name of another organisation is waiting here; have it refused first")
		}
		next := &peerRecord{
			Peer: Peer{
				DID: m.From, State: PeerRequested, Organisation: org.organisation(), Endpoint: endpoint, Document: documentDigest(m.Document),
				Trust: TrustFirstUse, Created: n.now().UTC(),
			},
			Credential: credential, Request: m.Credential,
		}
		next.inheritTrust(now)
		return next, nil
	})
	if err != nil {
		return nil, err
	}
	return n.received(ctx, kindRegistrationReply, m, string(state))
}

// roomForStranger bounds how many undecided requests of unknown nodes are kept.
func (n *Node) roomForStranger(ctx context.Context) error {
	peers, err := n.Peers(ctx)
	if err != nil {
		return err
	}
	waiting := 0
	for _, p := range peers {
		if p.State == PeerRequested {
			waiting++
		}
	}
	if waiting >= maxUndecided {
		return fail(CodeTooMany, "too many registrations wait for this node's administrator; try again later")
	}
	return nil
}

func (n *Node) onDecision(ctx context.Context, m *message, peer *peerRecord) (*reply, error) {
	var s decisionSubject
	if err := m.read(&s); err != nil {
		return nil, err
	}
	var org organisationSubject
	credential, err := m.attached(typeOrganisation, &org)
	if err != nil {
		return nil, err
	}
	if err := n.checkParty(ctx, m, s.ID, s.Peer, s.Organisation, s.Document, credential, org); err != nil {
		return nil, err
	}
	if s.Approved != "true" && s.Approved != "false" {
		return nil, fail(CodeInvalid, "a decision is true or false")
	}
	if err := checkReason(s.Reason); err != nil {
		return nil, err
	}
	if peer == nil {
		return nil, fail(CodeUnknownPeer, "this node did not ask you to register it")
	}
	var state PeerState
	err = n.putPeer(ctx, m.From, m.Document, func(now *peerRecord) (*peerRecord, error) {
		if now == nil {
			return nil, fail(CodeUnknownPeer, "this node did not ask you to register it")
		}
		if sameJSON(now.Decision, m.Credential) {
			state = now.Peer.State
			return nil, nil // heard before
		}
		request, err := digestJSON(now.Request)
		if err != nil {
			return nil, err
		}
		// The decision may have come before, its reply gone lost, and the key that signed it ended: then it comes signed anew.
		again := now.Peer.State == PeerApproved && now.Own == nil && s.Approved == "true"
		if now.Peer.State != PeerInvited && !again || request != s.Request {
			return nil, fail(CodePeerState, "this node waits for no decision on that request")
		}
		if s.Approved == "true" {
			if err := sameOrganisation(m.From, org, now.Peer.Organisation); err != nil {
				return nil, err
			}
			now.Peer.State, now.Peer.Registration, now.Peer.Reason = PeerApproved, m.Digest, ""
			now.Credential = credential
		} else {
			now.Peer.State, now.Peer.Reason = PeerRefused, s.Reason
		}
		now.Decision = m.Credential
		state = now.Peer.State
		return now, nil
	})
	if err != nil {
		return nil, err
	}
	return n.received(ctx, kindDecisionReply, m, string(state))
}

// checkParty holds what a registration message says of its sender and its receiver against who they are.
func (n *Node) checkParty(ctx context.Context, m *message, sender, receiver, organisation, document string, credential []byte, org organisationSubject) error {
	if sender != m.From || receiver != n.DID() {
		return fail(CodeInvalid, "the message is not about its sender and this node")
	}
	if org.ID != m.From {
		return fail(CodeInvalid, "the organisation credential is not about the sender")
	}
	if err := org.check(); err != nil {
		return err
	}
	digest, err := digestJSON(credential)
	if err != nil {
		return err
	}
	if digest != organisation {
		return fail(CodeMismatch, "the organisation credential is not the one that the message names")
	}
	if documentDigest(m.Document) == document || n.sawDocument(ctx, m.From, document) {
		return nil // in a message that was long on its way, the document may be one that its sender had before
	}
	return fail(CodeMismatch, "the sender's DID document, as resolved here, is not the one that its message names")
}

func (n *Node) received(ctx context.Context, k kind, m *message, state string) (*reply, error) {
	mine, err := n.issue(ctx, string(k), receivedSubject{ID: n.DID(), Previous: m.Digest, State: state}, messageLife)
	if err != nil {
		return nil, err
	}
	return &reply{credentials: [][]byte{mine}}, nil
}

// hashToken is what is kept of a bearer token.
func hashToken(token string) string {
	sum := sha256.Sum256([]byte(token))
	return hex.EncodeToString(sum[:])
}
