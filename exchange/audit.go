package exchange

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"ihyid/credentials"
	"ihyid/did"
)

// MaxReceiptFile is the largest receipt file that is read, in bytes.
const MaxReceiptFile = 4 << 20

// VerifyReceiptOptions say what an auditor has at hand.
type VerifyReceiptOptions struct {
	Documents []*did.Document // DID documents that the auditor got from elsewhere and trusts
	Resolver  did.Resolver    // for DIDs that are not among the documents; nil: nothing is resolved but did:key
	Clock     func() time.Time
	Evidence  credentials.Evidence // of time, for keys that are retired now, beside the cross-signature in the receipt itself (PROTOCOL section 9)
	// StatusLists fetches the lists that tell whether a party has taken its signature back; nil: none can be asked, and the check is skipped. It is skipped too where
	// a list's host cannot be reached, unless RequireStatus.
	StatusLists   credentials.StatusLists
	RequireStatus bool
}

// ReceiptReport is every check that was made of a receipt, by name, with its outcome.
type ReceiptReport struct {
	Checks    []credentials.Check `json:"checks"`
	Statement *Statement          `json:"statement,omitempty"`
}

// Passed reports whether no check failed.
func (r *ReceiptReport) Passed() bool {
	for _, c := range r.Checks {
		if c.Outcome == credentials.Failed {
			return false
		}
	}
	return len(r.Checks) > 0
}

func (r *ReceiptReport) add(name string, ok bool, reason string, args ...any) bool {
	c := credentials.Check{Name: name, Outcome: credentials.Passed}
	if !ok {
		c.Outcome, c.Reason = credentials.Failed, fmt.Sprintf(reason, args...)
	}
	r.Checks = append(r.Checks, c)
	return ok
}

// VerifyReceipt checks a receipt file as an auditor would, without a node: the form, that the two parties that it names signed the same
// statement with the keys that it names, and that their DID documents come from somewhere better than the file itself.
func VerifyReceipt(ctx context.Context, file []byte, o VerifyReceiptOptions) *ReceiptReport {
	r := &ReceiptReport{}
	f, st, err := readReceiptFile(file)
	if !r.add("format", err == nil, "%v", err) {
		return r
	}
	r.Statement = st
	other, err := readReceipt(f.Receipts[1])
	r.add("statements-equal", err == nil && other == *st, "the two parties signed different statements")
	r.add("parties-distinct", st.Initiator != st.Responder, "both parties are the same")
	r.checkNumbers(st)
	parties := [2]*party{
		{role: "initiator", name: st.Initiator, key: st.InitiatorKey, document: st.InitiatorDocument, receipt: f.Receipts[0]},
		{role: "responder", name: st.Responder, key: st.ResponderKey, document: st.ResponderDocument, receipt: f.Receipts[1]},
	}
	for _, p := range parties {
		p.source = &documentSource{options: o, inFile: f.DIDDocuments[p.name]}
		p.verify(ctx, o, o.Evidence)
	}
	// Who needs evidence may have it from the other, if the other's signature is good without any of the kind.
	for i, p := range parties {
		if other := parties[1-i]; p.result.Check(credentials.CheckKey).Outcome == credentials.Failed {
			p.verify(ctx, o, evidence{o.Evidence, &crossSignature{of: p, by: other, good: other.good && r.Passed(), statement: st}})
		}
	}
	for _, p := range parties {
		r.Checks = append(r.Checks, p.checks...)
	}
	return r
}

// party is one side of a receipt under verification.
type party struct {
	role, name, key, document string
	receipt                   json.RawMessage

	source *documentSource
	result *credentials.Result
	checks []credentials.Check
	good   bool // all of them passed or were skipped
}

func (p *party) verify(ctx context.Context, o VerifyReceiptOptions, e credentials.Evidence) {
	lists := &reachable{lists: o.StatusLists}
	v := &credentials.Verifier{Keys: p.source, Clock: o.Clock, Evidence: e, StatusLists: lists}
	how := credentials.CredentialOptions{}
	if o.StatusLists == nil && !o.RequireStatus {
		how.SkipStatus = "no status list can be asked: whether this party has taken its signature back since is not known"
	}
	p.result = v.Credential(ctx, p.receipt, how)
	r := &ReceiptReport{}
	for _, c := range p.result.Checks {
		if c.Name == credentials.CheckStatus && c.Outcome == credentials.Failed && lists.unreachable != nil && !o.RequireStatus {
			c = credentials.Check{Name: c.Name, Outcome: credentials.Skipped, Reason: "the status list could not be fetched: " + lists.unreachable.Error()}
		}
		if c.Name == credentials.CheckKey && c.Outcome == credentials.Passed && len(p.result.Proofs) == 1 && p.result.Proofs[0].Evidence != "" {
			c.Reason = "no longer good now, but shown to have signed before by " + p.result.Proofs[0].Evidence
		}
		c.Name = p.role + "." + c.Name
		r.Checks = append(r.Checks, c)
	}
	r.add(p.role+".is-named", p.result.Issuer == p.name, "this receipt should be issued by %s", oneLine(p.name, 200))
	r.add(p.role+".key-is-named", signedWith(p.receipt, p.key), "the receipt is signed with another key than the statement names")
	r.Checks = append(r.Checks, p.source.check(p.role, p.document, p.key)...)
	p.checks, p.good = r.Checks, r.Passed()
}

// evidence asks one source after another.
type evidence []credentials.Evidence

// Existed implements credentials.Evidence.
func (e evidence) Existed(ctx context.Context, s credentials.Signature) (time.Time, string, error) {
	var why error
	for _, one := range e {
		if one == nil {
			continue
		}
		at, source, err := one.Existed(ctx, s)
		if err == nil && !at.IsZero() {
			return at, source, nil
		}
		why = err
	}
	return time.Time{}, "", why
}

// crossSignature is the other party's signature of the same statement (PROTOCOL section 9). The statement names the key and, by its digest,
// the DID document of the party whose key has been retired since; so the other party says that this key was that party's when the exchange
// ended. It must be good itself, without a cross-signature in return.
type crossSignature struct {
	of, by    *party
	good      bool
	statement *Statement
}

// Existed implements credentials.Evidence.
func (c *crossSignature) Existed(_ context.Context, s credentials.Signature) (time.Time, string, error) {
	none := func(format string, args ...any) (time.Time, string, error) {
		return time.Time{}, "", fmt.Errorf("the signer's own word for the time proves nothing, and "+format, args...)
	}
	if !c.good {
		return none("the %s's signature in this receipt, which could vouch for it, is not good itself", c.by.role)
	}
	if s.VerificationMethod != c.of.key || ownerOf(s.VerificationMethod) != c.of.name {
		return none("the %s vouches for another key", c.by.role)
	}
	named := c.of.source.named(c.of.document)
	if named == nil {
		return none("the DID document that the %s vouches for is not at hand", c.by.role)
	}
	if err := sameKey(named, c.of.source.used, c.of.key); err != nil {
		return none("%w", err)
	}
	at, err := time.Parse(time.RFC3339, c.statement.Ended)
	if err != nil {
		return none("the time in the statement cannot be read")
	}
	for _, p := range c.by.result.Proofs {
		if p.Created.After(at) {
			at = p.Created
		}
	}
	return at, fmt.Sprintf("the %s's cross-signature of %s", c.by.role, at.UTC().Format(time.RFC3339)), nil
}

// sameKey makes sure that a verification method is one and the same key in two documents, for the same purpose.
func sameKey(a, b *did.Document, method string) error {
	if a == nil || b == nil {
		return errors.New("a DID document is missing")
	}
	ka, errA := keyStatus(a, method, did.AssertionMethod)
	kb, errB := keyStatus(b, method, did.AssertionMethod)
	if err := errors.Join(errA, errB); err != nil {
		return err
	}
	pub, ok := ka.Public.(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !pub.Equal(kb.Public) || !ka.Authorized || !kb.Authorized {
		return errors.New("the key of that name is another one in the DID document of then")
	}
	return nil
}

// reachable fetches status lists and remembers if a host could not be reached. A host that answered, with an error too, was.
type reachable struct {
	lists       credentials.StatusLists
	unreachable error
}

// StatusList implements credentials.StatusLists.
func (r *reachable) StatusList(ctx context.Context, url string) ([]byte, error) {
	if r.lists == nil {
		return nil, errors.New("no status list can be asked here")
	}
	body, err := r.lists.StatusList(ctx, url)
	var answered interface{ HTTPStatus() int }
	if err != nil && !errors.As(err, &answered) {
		r.unreachable = err
	}
	return body, err
}

// readReceiptFile parses a receipt file strictly, and the statement of its first credential.
func readReceiptFile(file []byte) (*receiptFile, *Statement, error) {
	if len(file) > MaxReceiptFile {
		return nil, nil, fmt.Errorf("a receipt file is at most %d bytes", MaxReceiptFile)
	}
	head, err := object(file)
	if err != nil {
		return nil, nil, fmt.Errorf("this is not strict JSON: %w", err)
	}
	if text(head, "type") != receiptType {
		return nil, nil, fmt.Errorf("this is not a receipt file (type %s)", receiptType)
	}
	if v := text(head, "v"); v != "1" {
		return nil, nil, fmt.Errorf("this receipt has version %q; this program knows version 1", oneLine(v, 20))
	}
	var f receiptFile
	if err := readExact(file, &f); err != nil {
		return nil, nil, errors.New("this is not a receipt file: it has members that such a file does not have, or lacks some")
	}
	if len(f.Receipts) != 2 {
		return nil, nil, fmt.Errorf("a receipt holds two credentials, the initiator's and the responder's; this one holds %d", len(f.Receipts))
	}
	st, err := readReceipt(f.Receipts[0])
	if err != nil {
		return nil, nil, errors.New("the first credential is not a match receipt that can be read")
	}
	return &f, &st, nil
}

// checkNumbers checks what a statement says against itself.
func (r *ReceiptReport) checkNumbers(st *Statement) {
	ok := st.V == "1" && isHex(st.Exchange, 16) && isHex(st.Transcript, 32) && strings.HasPrefix(st.Profile, "sha256:")
	for _, h := range []string{st.InitiatorRoot, st.ResponderRoot, st.AnswersRoot, st.InitiatorDocument, st.ResponderDocument, st.Agreement} {
		ok = ok && isHex(h, 32)
	}
	for _, c := range []string{st.InitiatorCount, st.ResponderCount, st.Matches, st.Possibles, st.Evaluations, st.Tags} {
		_, err := parseCount(c)
		ok = ok && err == nil
	}
	r.add("statement-form", ok, "a digest or a count in the statement is not well-formed")
	started, err1 := time.Parse(time.RFC3339, st.Started)
	ended, err2 := time.Parse(time.RFC3339, st.Ended)
	r.add("times-in-order", err1 == nil && err2 == nil && !ended.Before(started), "the exchange ended before it started, or a time cannot be read")
	r.add("transcript-fits", ok && transcriptOf(st) == st.Transcript, "the transcript is not the one of what is stated")
}

// documentSource finds the DID document of one party: among those supplied, by resolving, or, as a last resort that is never believed,
// in the receipt file.
type documentSource struct {
	options VerifyReceiptOptions
	inFile  json.RawMessage

	used   *did.Document
	source string // "supplied", "resolved", "unauthenticated"
	err    error
}

// Key implements credentials.KeyResolver.
func (s *documentSource) Key(ctx context.Context, method, purpose string) (credentials.KeyStatus, error) {
	subject, _, _ := strings.Cut(method, "#")
	if s.used == nil || s.used.ID() != subject {
		if err := s.find(ctx, subject); err != nil {
			s.err = err
			return credentials.KeyStatus{}, err
		}
	}
	return keyStatus(s.used, method, purpose)
}

func (s *documentSource) find(ctx context.Context, subject string) error {
	for _, d := range s.options.Documents {
		if d.ID() == subject {
			s.used, s.source = d, "supplied"
			return nil
		}
	}
	resolver := s.options.Resolver
	if resolver == nil {
		resolver = did.NewResolver(did.Options{})
	}
	res, err := resolver.Resolve(ctx, subject)
	if err == nil {
		s.used, s.source = res.Document, "resolved"
		return nil
	}
	if len(s.inFile) > 0 {
		if d, perr := did.ParseDocument(s.inFile); perr == nil && d.ID() == subject {
			s.used, s.source = d, "unauthenticated"
			return nil
		}
	}
	return err
}

// named is the document with a digest, from wherever: what has the digest is the document.
func (s *documentSource) named(digest string) *did.Document {
	all := append([]*did.Document{s.used}, s.options.Documents...)
	if d, err := did.ParseDocument(s.inFile); err == nil {
		all = append(all, d)
	}
	for _, d := range all {
		if d != nil && documentDigest(d) == digest {
			return d
		}
	}
	return nil
}

// check says where the document came from and whether it is the one that the statement names; if it has changed since, the key must not have.
func (s *documentSource) check(role, digest, key string) []credentials.Check {
	from := credentials.Check{Name: role + ".did-document", Outcome: credentials.Passed}
	same := credentials.Check{Name: role + ".did-document-is-named", Outcome: credentials.Passed}
	switch {
	case s.used == nil:
		from.Outcome, from.Reason = credentials.Failed, "the DID document could not be had"
		if s.err != nil {
			from.Reason += ": " + s.err.Error()
		}
		same.Outcome, same.Reason = credentials.Skipped, "no DID document"
		return []credentials.Check{from, same}
	case s.source == "unauthenticated":
		from.Outcome = credentials.Failed
		from.Reason = "unauthenticated: it is only in the receipt file itself, which anybody could have written; give it with --did-docs, or let it be resolved"
	default:
		from.Reason = s.source
	}
	if documentDigest(s.used) != digest {
		// Keys come and go: the key that signed is judged by the document as it is now. But it must be the key of then.
		same.Outcome = credentials.Skipped
		same.Reason = "the document has changed since the exchange; the key that signed was judged by the document as it is now"
		if named := s.named(digest); named == nil || named.ID() != s.used.ID() {
			same.Outcome = credentials.Failed
			same.Reason = "neither the document that was found nor the one in the file is the one that the statement names"
		} else if err := sameKey(named, s.used, key); err != nil {
			same.Outcome = credentials.Failed
			same.Reason = err.Error()
		}
	}
	return []credentials.Check{from, same}
}
