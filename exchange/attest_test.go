package exchange

import (
	"strings"
	"testing"

	"ihyid/credentials"
)

// Somebody who may have credentials signed asks for one whose types or terms are this protocol's under other names. With a proof over linked data it would become, by
// another @context, what the node never said.
func TestIssueRefusesOwnTermsByOtherNames(t *testing.T) {
	w := newWorld(t)
	n := w.add("a.example")
	base := func() map[string]any {
		return map[string]any{"@context": []any{credentials.ContextV2}, "type": []any{"VerifiableCredential"}, "issuer": n.DID(),
			"credentialSubject": map[string]any{"id": "did:web:s.example", "name": "x"}}
	}
	for name, change := range map[string]func(map[string]any){
		"type by its name": func(d map[string]any) { d["type"] = []any{"VerifiableCredential", typeReceipt} },
		"type by another name": func(d map[string]any) {
			d["@context"] = []any{credentials.ContextV2, map[string]any{"Other": credentials.Namespace + typeReceipt}}
			d["type"] = []any{"VerifiableCredential", "Other"}
		},
		"type as full IRI": func(d map[string]any) { d["type"] = []any{"VerifiableCredential", credentials.Namespace + typeReceipt} },
		"type by prefix": func(d map[string]any) {
			d["@context"] = []any{credentials.ContextV2, map[string]any{"p": map[string]any{"@id": "urn:ihyid:", "@prefix": true}}}
			d["type"] = []any{"VerifiableCredential", "p:ns:" + typeReceipt}
		},
		"type by vocabulary": func(d map[string]any) {
			d["@context"] = []any{credentials.ContextV2, map[string]any{"@vocab": credentials.Namespace + "Ihyid"}}
			d["type"] = []any{"VerifiableCredential", strings.TrimPrefix(typeReceipt, "Ihyid")}
		},
		"type of the subject": func(d map[string]any) {
			d["@context"] = []any{credentials.ContextV2, map[string]any{"Other": credentials.Namespace + typeReceipt}}
			d["credentialSubject"].(map[string]any)["type"] = "Other"
		},
		"term by another name": func(d map[string]any) {
			d["@context"] = []any{credentials.ContextV2, map[string]any{"other": credentials.Namespace + "transcript"}}
			d["credentialSubject"].(map[string]any)["other"] = "x"
		},
	} {
		for _, proof := range []string{"", ProofJCS, ProofJOSE} {
			d := base()
			change(d)
			if out, err := n.IssueCredential(t.Context(), canonical(d), SignOptions{Proof: proof}); CodeOf(err) != CodeInvalid {
				t.Errorf("%s %s: %v\n%s", name, proof, err, out)
			}
		}
	}
	if _, err := n.IssueCredential(t.Context(), canonical(base()), SignOptions{}); err != nil {
		t.Errorf("an ordinary credential: %v", err)
	}
	p := map[string]any{"@context": []any{credentials.ContextV2, map[string]any{"Other": credentials.Namespace + "IhyidBundle"}}, "type": []any{"VerifiablePresentation", "Other"}, "holder": n.DID()}
	if _, err := n.ProvePresentation(t.Context(), canonical(p), SignOptions{}); CodeOf(err) != CodeInvalid {
		t.Errorf("a presentation with a type of this protocol: %v", err)
	}
	p = map[string]any{"@context": []any{credentials.ContextV2}, "type": []any{"VerifiablePresentation"}, "holder": n.DID()}
	if _, err := n.ProvePresentation(t.Context(), canonical(p), SignOptions{}); err != nil {
		t.Errorf("an ordinary presentation: %v", err)
	}
}
