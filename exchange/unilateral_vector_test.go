package exchange

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"os"
	"testing"

	"ihyid/credentials"
	"ihyid/did"
)

var writeVectors = flag.Bool("write-vectors", false, "write test/vectors/unilateral.json anew")

const unilateralFile = "../test/vectors/unilateral.json"

type unilateralVector struct {
	Comment  string          `json:"comment"`
	Document json.RawMessage `json:"document"` // the responder's DID document
	Record   json.RawMessage `json:"record"`
}

// vectorDocument resolves one DID to the document of the vector.
type vectorDocument struct{ doc *did.Document }

func (v vectorDocument) Resolve(context.Context, string) (*did.Resolution, error) {
	return &did.Resolution{Document: v.doc}, nil
}

// TestUnilateralVector makes the published record of an exchange that its initiator left, if that is asked for, and holds it against what this node makes now and
// how it verifies: the signature is random, the form is not.
func TestUnilateralVector(t *testing.T) {
	w, a, b := friends(t)
	a.importCSV(listA)
	b.importCSV(listB)
	e, _ := leave(t, w, a, b, ProtocolVOPRF, kindOffer)
	if _, err := b.CancelExchange(t.Context(), e.ID, Cancellation{Yes: true}); err != nil {
		t.Fatal(err)
	}
	all, err := b.Presentations(t.Context(), e.ID)
	must(t, err)
	now := unilateralVector{
		Comment:  "What a responder signs of an exchange by voprf that ended after it had evaluated 256 points, before any claim; with the DID document of that moment.",
		Document: b.DocumentJSON(), Record: all[typeUnilateral],
	}
	if *writeVectors {
		raw, err := json.MarshalIndent(now, "", " ")
		must(t, err)
		must(t, os.WriteFile(unilateralFile, append(raw, '\n'), 0o644))
	}
	raw, err := os.ReadFile(unilateralFile)
	must(t, err)
	var v unilateralVector
	must(t, json.Unmarshal(raw, &v))
	doc, err := did.ParseDocument(v.Document)
	must(t, err)
	keys := &documentKeys{resolver: vectorDocument{doc}}
	result := (&credentials.Verifier{Keys: keys}).Credential(t.Context(), v.Record, credentials.CredentialOptions{})
	if err := result.Err(); err != nil {
		t.Errorf("the published record does not verify: %v", err)
	}
	var forms [2][]byte
	for i, r := range []json.RawMessage{v.Record, now.Record} {
		var c struct {
			Context           any               `json:"@context"`
			CredentialSubject map[string]string `json:"credentialSubject"`
		}
		must(t, json.Unmarshal(r, &c))
		for n := range c.CredentialSubject {
			c.CredentialSubject[n] = ""
		}
		forms[i], err = json.Marshal(c)
		must(t, err)
	}
	if !bytes.Equal(forms[0], forms[1]) {
		t.Error("the published record has another form than those that are made now")
	}
}
