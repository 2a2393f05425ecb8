package credentials

import (
	"fmt"
	"strings"
	"testing"

	"ihyid/credentials/ijson"
	"ihyid/credentials/internal/testkeys"
)

// hostile are documents of up to a megabyte, made to be costly.
func hostile() map[string][]byte {
	const size = ijson.DefaultMaxBytes
	fill := func(head, unit, tail string) []byte {
		n := (size - len(head) - len(tail)) / len(unit)
		return []byte(head + strings.TrimSuffix(strings.Repeat(unit, n), ",") + tail)
	}
	within := func(n int, head, unit, tail string) []byte {
		return []byte(head + strings.TrimSuffix(strings.Repeat(unit, n), ",") + tail)
	}
	proof := `,"proof":{"type":"DataIntegrityProof","cryptosuite":"ecdsa-rdfc-2019","created":"2026-01-01T00:00:00Z","proofPurpose":"assertionMethod",` +
		`"verificationMethod":"METHOD","proofValue":"z` + strings.Repeat("2", 86) + `"}}`
	head := func(context string) string {
		return `{"@context":["` + ContextV2 + `",{"a":"urn:x:a"` + context + `}],"type":"VerifiableCredential","issuer":"DID","credentialSubject":`
	}
	terms := strings.Builder{}
	for i := range 300 {
		fmt.Fprintf(&terms, `,"t%d":{"@id":"urn:x:t%d","@context":{"a":"urn:x:a%d"}}`, i, i, i)
	}
	return map[string][]byte{
		"open brackets":     fill("", "[", ""),
		"empty objects":     fill("[", "{},", "]"),
		"one string":        fill(head("")+`{"a":"`, "x", `"}`+proof),
		"many strings":      fill(head("")+`{"a":[`, `"x",`, `]}`+proof),
		"many objects":      fill(head("")+`[`, `{"a":"x"},`, `]`+proof),
		"typed objects":     fill(head("")+`[`, `{"type":"VerifiableCredential","a":"x"},`, `]`+proof),
		"wide context":      fill(head(terms.String())+`[`, `{"t1":{"a":"x"}},`, `]`+proof),
		"many contexts":     fill(head("")+`[`, `{"@context":"`+ContextV2+`","a":"x"},`, `]`+proof),
		"large context":     fill(`{"@context":["`+ContextV2+`",{`, `"a":"urn:x:a",`, `}],"type":"VerifiableCredential"`+proof),
		"many proofs":       fill(`{"@context":["`+ContextV2+`"],"proof":[`, `{},`, `]}`),
		"blank nodes alike": fill(head("")+`[`, `{"a":{"a":{}}},`, `]`+proof),
		"long identifiers":  fill(head("")+`{"id":"urn:x:`, "é", `"}`+proof),
		"long list":         fill(head(`,"l":{"@id":"urn:x:l","@container":"@list"}`)+`{"l":[`, `"x",`, `]}`+proof),
		// just within the limits
		"1000 typed objects":  within(1000, head("")+`[`, `{"type":["VerifiableCredential","VerifiablePresentation","JsonSchema"],"a":"x"},`, `]`+proof),
		"1000 scoped objects": within(1000, head(terms.String())+`[`, `{"t1":{"a":"x"}},`, `]`+proof),
		"500 alike":           within(500, head("")+`[`, `{"a":{"a":{}}},`, `]`+proof),
		"19000 strings":       within(19000, head("")+`{"a":[`, `"x",`, `]}`+proof),
		"19000 members":       within(19000, head(`,"l":{"@id":"urn:x:l","@container":"@list"}`)+`{"l":[`, `"x",`, `]}`+proof),
		"19000 literals":      within(19000, head(`,"l":{"@id":"urn:x:l","@type":"@json"}`)+`{"l":[`, `"x",`, `]}`+proof),
		"escapes":             fill(head("")+`{"a":"`, `\u0001`, `"}`+proof),
		"long proof value":    fill(head("")+`{"a":"x"},"proof":{"type":"DataIntegrityProof","cryptosuite":"ecdsa-jcs-2019","proofPurpose":"assertionMethod","verificationMethod":"METHOD","proofValue":"z`, "2", `"}}`),
		"many dots":           fill("e", ".", ""),
		"token of one header": fill("", "e", ".e30.e30"),
	}
}

// Nothing of this passes, and the process lives on. The benchmark below tells what it costs.
func TestHostile(t *testing.T) {
	k := testkeys.New("P-256")
	for name, doc := range hostile() {
		t.Run(name, func(t *testing.T) {
			doc := named(doc, k)
			if r := testVerifier().Credential(t.Context(), doc, CredentialOptions{}); r.Passed() {
				t.Error("passes")
			}
			vp := `{"@context":["` + ContextV2 + `"],"type":"VerifiablePresentation","verifiableCredential":` + string(doc) + `}`
			if r := testVerifier().Presentation(t.Context(), []byte(vp), PresentationOptions{}); r.Passed() {
				t.Error("passes in a presentation")
			}
		})
	}
}

func named(doc []byte, k testkeys.Key) []byte {
	return []byte(strings.NewReplacer("METHOD", k.Method, "DID", k.DID).Replace(string(doc)))
}

func BenchmarkHostile(b *testing.B) {
	k := testkeys.New("P-256")
	for name, doc := range hostile() {
		doc := named(doc, k)
		b.Run(strings.ReplaceAll(name, " ", "-"), func(b *testing.B) {
			b.ReportAllocs()
			v := testVerifier()
			v.Limits.JSON.MaxBytes = 2 << 20
			for b.Loop() {
				if v.Credential(b.Context(), doc, CredentialOptions{}).Passed() {
					b.Fatal("passes")
				}
			}
		})
	}
}
