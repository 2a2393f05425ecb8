package exchange

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"ihyid/credentials"
	"ihyid/credentials/dataintegrity"
	"ihyid/did"
)

// Messages are signed over their canonical JSON, so that the digest of one (`previous`, `agreement`) stands for exactly what was signed: a signature over linked
// data leaves the JSON open. What others will read, receipts and organisation credentials, is evidence; how it is secured is a choice of the node that signs.
const messageSuite = dataintegrity.ECDSAJCS2019

// The ways to secure evidence. A node takes all of them from others.
const (
	ProofRDFC = "rdfc" // ecdsa-rdfc-2019: over its meaning as linked data, which any W3C verifier understands; the default
	ProofJCS  = "jcs"  // ecdsa-jcs-2019: over its canonical JSON
	ProofJOSE = "jose" // a JSON Web Token (vc+jwt)
)

// evidenceSuite gives the suite of a way to secure evidence; "" is ProofRDFC.
func evidenceSuite(proof string) (string, error) {
	switch proof {
	case "", ProofRDFC:
		return dataintegrity.ECDSARDFC2019, nil
	case ProofJCS:
		return dataintegrity.ECDSAJCS2019, nil
	case ProofJOSE:
		return credentials.SuiteJOSE, nil
	}
	return "", fail(CodeUnsupported, "evidence is signed with %s, %s or %s", ProofRDFC, ProofJCS, ProofJOSE)
}

// issueWith makes and signs a credential of this node. Evidence comes as JSON even where a token secures it: as an EnvelopedVerifiableCredential.
func (n *Node) issueWith(ctx context.Context, key credentials.Key, typ string, subject any, life time.Duration) ([]byte, error) {
	return n.issueStated(ctx, key, typ, subject, life, nil)
}

// issueStated does what issueWith does, with a credentialStatus if there is one.
func (n *Node) issueStated(ctx context.Context, key credentials.Key, typ string, subject any, life time.Duration, status []any) ([]byte, error) {
	now := n.now().UTC().Truncate(time.Second)
	id, err := n.randomURN()
	if err != nil {
		return nil, err
	}
	members := map[string]any{
		"@context":          []any{credentials.ContextV2, contextOf[typ]},
		"id":                id,
		"type":              []string{"VerifiableCredential", typ},
		"issuer":            ownerOf(key.VerificationMethod),
		"validFrom":         now.Format(time.RFC3339),
		"validUntil":        now.Add(life).Format(time.RFC3339),
		"credentialSubject": subject,
	}
	if len(status) > 0 {
		members["credentialStatus"] = status
	}
	unsecured, err := json.Marshal(members)
	if err != nil {
		return nil, fmt.Errorf("writing a credential: %w", err)
	}
	suite := messageSuite
	if typ == typeReceipt || typ == typeOrganisation || typ == typeAgreement {
		suite = n.evidence
	}
	secured, err := n.issuer.Credential(ctx, unsecured, key, credentials.ProofOptions{Suite: suite, Purpose: did.AssertionMethod, Created: now})
	if err != nil || suite != credentials.SuiteJOSE {
		return secured, err
	}
	enveloped, err := credentials.Embed(secured)
	if err != nil {
		return nil, err
	}
	return canonical(enveloped), nil
}

// opened gives a credential as JSON whatever secures it, and the verification method of its one signature; "" if it has none or several. Nothing of it
// is verified.
func opened(credential map[string]any) (map[string]any, string) {
	if credential["type"] != "EnvelopedVerifiableCredential" {
		return credential, signer(credential)
	}
	document, method, err := credentials.Open(canonical(credential))
	if err != nil {
		return nil, ""
	}
	return document, method
}

// statusOf checks what a receipt says of where its status stands: at its issuer's own node, for what is known here, or nowhere.
func statusOf(credential []byte, signers *did.Document) error {
	o, err := object(credential)
	if err != nil {
		return err
	}
	document, _ := opened(o)
	value, ok := document["credentialStatus"]
	if !ok {
		return nil
	}
	bad := fail(CodeInvalid, "the status of the receipt does not stand in lists of its issuer's node")
	service, ok := signers.Service(did.ServiceTypeNode)
	entries, isList := value.([]any)
	if !ok || !isList || len(entries) > 2 {
		return bad
	}
	for _, e := range entries {
		m, _ := e.(map[string]any)
		purpose := text(m, "statusPurpose")
		if text(m, "type") != "BitstringStatusListEntry" || purpose != credentials.Revocation && purpose != credentials.Suspension ||
			!strings.HasPrefix(text(m, "statusListCredential"), strings.TrimSuffix(service.Endpoint, "/")+statusPath) {
			return bad
		}
	}
	return nil
}
