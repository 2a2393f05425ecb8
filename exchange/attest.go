package exchange

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"ihyid/credentials"
	"ihyid/did"
)

// What a node signs and verifies for its own people beside its exchanges: any W3C credential or presentation.

// SignOptions say what a signature states beside the document. Zero fields have defaults.
type SignOptions struct {
	Proof     string // ProofRDFC, ProofJCS, ProofJOSE; "": as the node secures its evidence
	Created   time.Time
	Expires   time.Time
	Challenge string
	Domain    []string
}

func (n *Node) proofOptions(o SignOptions) (credentials.ProofOptions, error) {
	p := credentials.ProofOptions{Suite: n.evidence, Created: o.Created, Expires: o.Expires, Challenge: o.Challenge, Domain: o.Domain}
	if p.Created.IsZero() {
		p.Created = n.now().UTC().Truncate(time.Second)
	}
	if o.Proof == "" {
		return p, nil
	}
	suite, err := evidenceSuite(o.Proof)
	p.Suite = suite
	return p, err
}

// IssueCredential signs a credential whose issuer is this node. Credentials of the types of this protocol are refused: the node itself signs them, when it has
// done what they say. A credential secured by a token comes as JSON, enveloped.
func (n *Node) IssueCredential(ctx context.Context, unsecured []byte, o SignOptions) ([]byte, error) {
	d, err := object(unsecured)
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Detail: "the credential is not strict JSON", Err: err}
	}
	for typ := range contextOf {
		if names(d, typ) {
			return nil, fail(CodeInvalid, "a credential of the type %s is signed by the node itself only", typ)
		}
	}
	if err := n.foreignTerms(ctx, d); err != nil {
		return nil, err
	}
	return n.attest(ctx, o, did.AssertionMethod, func(key credentials.Key, p credentials.ProofOptions) ([]byte, error) {
		return n.issuer.Credential(ctx, unsecured, key, p)
	})
}

// foreignTerms refuses a document that uses a term of this protocol by whatever name: a proof over linked data signs what the names stand for, so a type under
// another name could become one of this protocol afterwards, by another @context, without breaking the signature.
func (n *Node) foreignTerms(ctx context.Context, d map[string]any) error {
	terms, err := n.issuer.Suites.Terms(ctx, d)
	if credentials.IsDocumentError(err) {
		return &Error{Code: CodeInvalid, Detail: err.Error(), Err: err}
	}
	if err != nil {
		return err
	}
	for _, t := range terms {
		if strings.HasPrefix(t, credentials.Namespace) {
			return fail(CodeInvalid, "a document with terms of %s is signed by the node itself only", credentials.Namespace)
		}
	}
	return nil
}

// ProvePresentation signs a presentation whose holder, if it names one, is this node. One that holds a credential of a message of this protocol is refused: it could
// be taken for that message.
func (n *Node) ProvePresentation(ctx context.Context, unsecured []byte, o SignOptions) ([]byte, error) {
	d, err := object(unsecured)
	if err != nil {
		return nil, &Error{Code: CodeInvalid, Detail: "the presentation is not strict JSON", Err: err}
	}
	list, ok := d["verifiableCredential"].([]any)
	if one, isOne := d["verifiableCredential"].(map[string]any); !ok && isOne {
		list = []any{one}
	}
	for _, e := range list {
		m, _ := e.(map[string]any)
		document, _ := opened(m)
		own := false
		for typ := range contextOf {
			own = own || names(document, typ)
			if typ != typeReceipt && typ != typeOrganisation && names(document, typ) {
				return nil, fail(CodeInvalid, "a presentation of a credential of the type %s is a message of the node itself", typ)
			}
		}
		if m["proof"] == nil || own {
			continue
		}
		if err := n.foreignTerms(ctx, m); err != nil {
			return nil, err
		}
	}
	rest := maps.Clone(d)
	delete(rest, "verifiableCredential")
	if err := n.foreignTerms(ctx, rest); err != nil {
		return nil, err
	}
	return n.attest(ctx, o, did.Authentication, func(key credentials.Key, p credentials.ProofOptions) ([]byte, error) {
		return n.issuer.Presentation(ctx, unsecured, key, p)
	})
}

// names reports whether the type of a document holds typ.
func names(d map[string]any, typ string) bool {
	if d["type"] == typ {
		return true
	}
	list, _ := d["type"].([]any)
	for _, t := range list {
		if t == typ {
			return true
		}
	}
	return false
}

func (n *Node) attest(ctx context.Context, o SignOptions, purpose string, sign func(credentials.Key, credentials.ProofOptions) ([]byte, error)) ([]byte, error) {
	p, err := n.proofOptions(o)
	if err != nil {
		return nil, err
	}
	key, err := n.signingKey(ctx, purpose)
	if err != nil {
		return nil, err
	}
	secured, err := sign(key, p)
	switch {
	case errors.Is(err, credentials.ErrNotIssuer):
		return nil, &Error{Code: CodeInvalid, Detail: "this node signs in its own name only, " + n.DID(), Err: err}
	case credentials.IsDocumentError(err):
		return nil, &Error{Code: CodeInvalid, Detail: err.Error(), Err: err}
	case err != nil:
		return nil, err
	case p.Suite != credentials.SuiteJOSE:
		return secured, nil
	case purpose == did.Authentication:
		return canonical(credentials.EmbedPresentation(secured)), nil
	}
	enveloped, err := credentials.Embed(secured)
	return canonical(enveloped), err
}

// VerifyDocument verifies a credential or presentation of anybody.
func (n *Node) VerifyDocument(ctx context.Context, secured []byte, o credentials.PresentationOptions) *credentials.Result {
	ctx, cancel := context.WithTimeout(ctx, verifyLimit)
	defer cancel()
	return n.verifier.Any(ctx, secured, o)
}
