package credentials

import (
	"context"
	"errors"
	"testing"
	"time"

	"ihyid/credentials/contexts"
	"ihyid/credentials/internal/testkeys"
	"ihyid/credentials/statuslist"
)

const listURL = "https://node-a.example/status/1"

// lists serves status list credentials and counts how often it is asked.
type lists struct {
	served map[string][]byte
	asked  int
}

func (l *lists) StatusList(_ context.Context, url string) ([]byte, error) {
	l.asked++
	b, ok := l.served[url]
	if !ok {
		return nil, errors.New("not found")
	}
	return b, nil
}

func TestStatus(t *testing.T) {
	for _, suite := range append([]string{SuiteJOSE}, suiteNames...) {
		t.Run(suite, func(t *testing.T) {
			k := testkeys.New("P-256")
			key := Key{k.Method, k.Signer}
			now := testTime
			issuer := &Issuer{Suite: suite, Clock: func() time.Time { return now }}
			bits, err := statuslist.New(0)
			if err != nil {
				t.Fatal(err)
			}
			index, err := bits.Assign(nil)
			if err != nil {
				t.Fatal(err)
			}
			server := &lists{served: map[string][]byte{}}
			publish := func(purpose string, set bool) {
				t.Helper()
				if err := bits.Set(index, set); err != nil {
					t.Fatal(err)
				}
				d, err := StatusListCredential(k.DID, listURL, purpose, bits, now, now.Add(time.Hour))
				if err != nil {
					t.Fatal(err)
				}
				if server.served[listURL], err = issuer.Credential(t.Context(), encode(t, d), key, ProofOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			v := &Verifier{Keys: &keys{}, Clock: func() time.Time { return now }, StatusLists: server}
			for _, purpose := range []string{Revocation, Suspension} {
				d := credentialBy(k.DID)
				d["credentialStatus"] = StatusEntry(listURL, purpose, index)
				vc, err := issuer.Credential(t.Context(), encode(t, d), key, ProofOptions{})
				if err != nil {
					t.Fatal(err)
				}
				publish(purpose, false)
				asked := server.asked
				for range 3 {
					expect(t, v.Credential(t.Context(), vc, CredentialOptions{}))
				}
				if server.asked != asked+1 {
					t.Errorf("asked %d times", server.asked-asked)
				}
				publish(purpose, true)
				expect(t, v.Credential(t.Context(), vc, CredentialOptions{})) // still from the cache
				now = now.Add(DefaultStatusAge)
				r := v.Credential(t.Context(), vc, CredentialOptions{})
				expect(t, r, CheckStatus)
				if want := map[string]error{Revocation: ErrRevoked, Suspension: ErrSuspended}[purpose]; !errors.Is(r.Err(), want) {
					t.Error(r.Err())
				}
				r = v.Credential(t.Context(), vc, CredentialOptions{SkipStatus: "no network"})
				expect(t, r)
				if c := r.Check(CheckStatus); c.Outcome != Skipped || c.Reason != "no network" {
					t.Errorf("%+v", c)
				}
				now = now.Add(DefaultStatusAge)
				publish(purpose, false)
				expect(t, v.Credential(t.Context(), vc, CredentialOptions{}))
				now = now.Add(DefaultStatusAge)
			}
		})
	}
}

func TestStatusCannotBeTold(t *testing.T) {
	k, other := testkeys.New("P-256"), testkeys.New("P-256")
	bits, err := statuslist.New(0)
	if err != nil {
		t.Fatal(err)
	}
	list := func(by testkeys.Key, change func(object)) []byte {
		d, err := StatusListCredential(by.DID, listURL, Revocation, bits, testTime, testTime.Add(time.Hour))
		if err != nil {
			t.Fatal(err)
		}
		change(d)
		return issue(t, by, d, ProofOptions{})
	}
	subject := func(field string, value any) func(object) {
		return func(d object) { d["credentialSubject"].(object)[field] = value }
	}
	good := list(k, func(object) {})
	for _, tt := range []struct {
		name  string
		entry object
		list  []byte
	}{
		{"no list", StatusEntry(listURL+"x", Revocation, 1), good},
		{"index beyond", StatusEntry(listURL, Revocation, statuslist.MinEntries), good},
		{"index negative", StatusEntry(listURL, Revocation, -1), good},
		{"index a number", object{"type": statusEntryType, "statusPurpose": Revocation, "statusListIndex": 1, "statusListCredential": listURL}, good},
		{"index with a zero", object{"type": statusEntryType, "statusPurpose": Revocation, "statusListIndex": "01", "statusListCredential": listURL}, good},
		{"no purpose", object{"type": statusEntryType, "statusListIndex": "1", "statusListCredential": listURL}, good},
		{"no address", object{"type": statusEntryType, "statusPurpose": Revocation, "statusListIndex": "1"}, good},
		{"larger entries", object{"type": statusEntryType, "statusPurpose": Revocation, "statusListIndex": "1", "statusListCredential": listURL, "statusSize": 2}, good},
		{"unknown type", object{"type": "https://types.example/OtherStatus", "id": listURL}, good},
		{"another purpose", StatusEntry(listURL, Suspension, 1), good},
		{"another issuer", StatusEntry(listURL, Revocation, 1), list(other, func(object) {})},
		{"another id", StatusEntry(listURL, Revocation, 1), list(k, func(d object) { d["id"] = listURL + "x" })},
		{"another type", StatusEntry(listURL, Revocation, 1), list(k, func(d object) {
			// The examples context gives the terms a meaning that the type no longer does.
			d["@context"], d["type"] = []any{ContextV2, contexts.ExamplesV2}, []any{"VerifiableCredential"}
		})},
		{"another subject", StatusEntry(listURL, Revocation, 1), list(k, func(d object) {
			d["@context"] = []any{ContextV2, contexts.ExamplesV2}
			d["credentialSubject"].(object)["type"] = "https://types.example/x"
		})},
		{"list not decodable", StatusEntry(listURL, Revocation, 1), list(k, subject("encodedList", "x"))},
		{"list expired", StatusEntry(listURL, Revocation, 1), list(k, func(d object) { d["validFrom"], d["validUntil"] = "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z" })},
		{"list with a status", StatusEntry(listURL, Revocation, 1), list(k, func(d object) { d["credentialStatus"] = StatusEntry(listURL, Revocation, 2) })},
		{"list not signed", StatusEntry(listURL, Revocation, 1), []byte(`{}`)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := credentialBy(k.DID)
			d["credentialStatus"] = []any{tt.entry}
			vc := issue(t, k, d, ProofOptions{})
			v := testVerifier()
			v.StatusLists = &lists{served: map[string][]byte{listURL: tt.list}}
			r := v.Credential(t.Context(), vc, CredentialOptions{})
			expect(t, r, CheckStatus)
			if !errors.Is(r.Err(), ErrStatusUnknown) {
				t.Error(r.Err())
			}
			t.Log(r.Err())
		})
	}
	d := credentialBy(k.DID)
	d["credentialStatus"] = StatusEntry(listURL, Revocation, 1)
	vc := issue(t, k, d, ProofOptions{})
	expect(t, testVerifier().Credential(t.Context(), vc, CredentialOptions{}), CheckStatus) // nobody to ask
	d["credentialStatus"] = StatusEntry(listURL, "message", 1)
	expect(t, testVerifier().Credential(t.Context(), issue(t, k, d, ProofOptions{}), CredentialOptions{}))
	if _, err := StatusListCredential(k.DID, listURL, "message", bits, testTime, testTime); err == nil {
		t.Error("a list of an unknown purpose")
	}
}
