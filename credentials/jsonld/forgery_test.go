package jsonld

import (
	"strings"
	"testing"
)

const (
	forgeryContexts = `"https://www.w3.org/ns/credentials/v2",{"a":"urn:x:a","b":{"@id":"urn:x:b","@type":"@id"},"n":{"@id":"urn:x:n","@type":"http://www.w3.org/2001/XMLSchema#date"},` +
		`"l":{"@id":"urn:x:l","@container":"@list"},"j":{"@id":"urn:x:j","@type":"@json"},"v":{"@id":"urn:x:v","@type":"@vocab"},"T":"urn:x:T","green":"urn:x:green"}`
	forgeryRest  = `"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":"did:ex:i"`
	forgeryEntry = `{"id":"https://l.example/1#5","type":"BitstringStatusListEntry","statusPurpose":"revocation","statusListIndex":"5","statusListCredential":"https://l.example/1"}`
	forgeryOther = `{"id":"https://l.example/2#5","type":"BitstringStatusListEntry","statusPurpose":"suspension","statusListIndex":"5","statusListCredential":"https://l.example/2"}`
	cred         = "https://www.w3.org/2018/credentials#"
	status       = "https://www.w3.org/ns/credentials/status#"
)

// Forgeries: the JSON is changed, the statements stay the same and with them the signature. By the letter of JSON-LD each would pass; whoever reads the JSON would see
// something else than was signed. extra is what the forger adds to the contexts.
func TestForgeries(t *testing.T) {
	p := processor(t)
	doc := func(extra, members string) map[string]any {
		contexts := forgeryContexts
		if extra != "" {
			contexts += "," + extra
		}
		return parse(t, `{"@context":[`+contexts+`],`+members+`}`)
	}
	subject := func(members string) string {
		return forgeryRest + `,"credentialSubject":{"id":"did:ex:s",` + members + `}`
	}
	const bare = forgeryRest + `,"credentialSubject":{"id":"did:ex:s","a":"x"}`
	for _, tt := range []struct{ name, signed, extra, forged string }{
		// the status
		{"status under another term", bare + `,"credentialStatus":` + forgeryEntry, `{"st":{"@id":"` + cred + `credentialStatus","@type":"@id"}}`, bare + `,"st":` + forgeryEntry},
		{"one status of two under another term", bare + `,"credentialStatus":[` + forgeryEntry + `,` + forgeryOther + `]`,
			`{"st":{"@id":"` + cred + `credentialStatus","@type":"@id"}}`, bare + `,"credentialStatus":` + forgeryOther + `,"st":` + forgeryEntry},
		{"status as full IRI", bare + `,"credentialStatus":` + forgeryEntry, ``, bare + `,"` + cred + `credentialStatus":` + forgeryEntry},
		{"one status of two as full IRI", bare + `,"credentialStatus":[` + forgeryEntry + `,` + forgeryOther + `]`, ``,
			bare + `,"credentialStatus":` + forgeryOther + `,"` + cred + `credentialStatus":` + forgeryEntry},
		{"status by prefix", bare + `,"credentialStatus":` + forgeryEntry, `{"c":{"@id":"` + cred + `","@prefix":true}}`, bare + `,"c:credentialStatus":` + forgeryEntry},
		{"status by vocabulary", bare + `,"credentialStatus":` + forgeryEntry, `{"@vocab":"https://www.w3.org/2018/"}`, bare + `,"credentials#credentialStatus":` + forgeryEntry},
		{"status in a set object", bare + `,"credentialStatus":` + forgeryEntry, ``, bare + `,"credentialStatus":{"@set":[` + forgeryEntry + `]}`},
		{"status nested", bare + `,"credentialStatus":` + forgeryEntry, `{"more":"@nest"}`, bare + `,"more":{"credentialStatus":` + forgeryEntry + `}`},
		{"status described elsewhere", subject(`"a":"x","b":"https://l.example/1#5"`) + `,"credentialStatus":` + forgeryEntry, ``,
			subject(`"a":"x","b":`+forgeryEntry) + `,"credentialStatus":{"id":"https://l.example/1#5","type":"BitstringStatusListEntry"}`},
		{"purpose of the status under another term", bare + `,"credentialStatus":` + forgeryEntry, `{"purpose":"` + status + `statusPurpose"}`,
			bare + `,"credentialStatus":` + strings.Replace(forgeryEntry, "statusPurpose", "purpose", 1)},
		{"type of the status under another term", bare + `,"credentialStatus":` + forgeryEntry, `{"Entry":{"@id":"` + status + `BitstringStatusListEntry","@context":{"statusPurpose":"` +
			status + `statusPurpose","statusListIndex":"` + status + `statusListIndex","statusListCredential":{"@id":"` + status + `statusListCredential","@type":"@id"}}}}`,
			bare + `,"credentialStatus":` + strings.Replace(forgeryEntry, "BitstringStatusListEntry", "Entry", 1)},
		{"type of the status as full IRI", bare + `,"credentialStatus":` + forgeryEntry, `{"statusPurpose":"` + status + `statusPurpose","statusListIndex":"` + status + `statusListIndex","statusListCredential":{"@id":"` +
			status + `statusListCredential","@type":"@id"}}`, bare + `,"credentialStatus":` + strings.Replace(forgeryEntry, `"type":"`, `"type":"`+status, 1)},
		// the subject
		{"one subject of two under another term", forgeryRest + `,"credentialSubject":[{"id":"did:ex:s","a":"x"},{"id":"did:ex:r","a":"y"}]`,
			`{"who":{"@id":"` + cred + `credentialSubject","@type":"@id"}}`, bare + `,"who":{"id":"did:ex:r","a":"y"}`},
		{"subject in a set object", bare, ``, forgeryRest + `,"credentialSubject":{"@set":[{"id":"did:ex:s","a":"x"}]}`},
		{"subject described under the issuer", `"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":"did:ex:s","credentialSubject":{"id":"did:ex:s","a":"x"}`, ``,
			`"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":{"id":"did:ex:s","a":"x"},"credentialSubject":{"id":"did:ex:s"}`},
		{"half of the subject described under the issuer", `"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":"did:ex:s","credentialSubject":{"id":"did:ex:s","a":"x","n":"y"}`, ``,
			`"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":{"id":"did:ex:s","a":"x"},"credentialSubject":{"id":"did:ex:s","n":"y"}`},
		{"subject described inside itself", subject(`"a":"x","b":"did:ex:s"`), ``, subject(`"b":{"id":"did:ex:s","a":"x"}`)},
		{"subject described under another subject", forgeryRest + `,"credentialSubject":[{"id":"did:ex:s","a":"x"},{"id":"did:ex:r","b":"did:ex:s"}]`, ``,
			forgeryRest + `,"credentialSubject":[{"id":"did:ex:s"},{"id":"did:ex:r","b":{"id":"did:ex:s","a":"x"}}]`},
		{"subject in two halves", subject(`"a":"x","n":"y"`), ``, forgeryRest + `,"credentialSubject":[{"id":"did:ex:s","a":"x"},{"id":"did:ex:s","n":"y"}]`},
		{"subject included", bare, ``, forgeryRest + `,"credentialSubject":{"id":"did:ex:s"},"@included":[{"id":"did:ex:s","a":"x"}]`},
		{"the end of validity said in the subject", bare + `,"validUntil":"2020-01-01T00:00:00Z"`, `{"validUntil":{"@id":"` + cred + `validUntil","@type":"http://www.w3.org/2001/XMLSchema#dateTime"}}`,
			forgeryRest + `,"credentialSubject":{"id":"did:ex:s","a":"x","b":{"id":"urn:x:vc","validUntil":"2020-01-01T00:00:00Z"}}`},
		// names
		{"end under another term", bare + `,"validUntil":"2020-01-01T00:00:00Z"`, `{"until":{"@id":"` + cred + `validUntil","@type":"http://www.w3.org/2001/XMLSchema#dateTime"}}`, bare + `,"until":"2020-01-01T00:00:00Z"`},
		{"identifier under another term", bare, `{"identity":"@id"}`, strings.Replace(bare, `"id":"did`, `"identity":"did`, 1)},
		{"identifier as keyword", bare, ``, strings.Replace(bare, `"id":"did`, `"@id":"did`, 1)},
		{"type as keyword", subject(`"type":"T","a":"x"`), ``, subject(`"@type":"T","a":"x"`)},
		{"type under another term", subject(`"type":"T","a":"x"`), `{"kind":"@type"}`, subject(`"kind":"T","a":"x"`)},
		{"one type of two under another term", subject(`"type":["T","VerifiableCredential"],"a":"x"`), `{"kind":"@type"}`, subject(`"type":"T","kind":"VerifiableCredential","a":"x"`)},
		{"type by another name beside its own", strings.Replace(bare, `["VerifiableCredential"]`, `["VerifiableCredential","T"]`, 1), `{"U":"urn:x:T"}`,
			strings.Replace(bare, `["VerifiableCredential"]`, `["VerifiableCredential","T","U"]`, 1)},
		{"type of the document by another name", strings.Replace(bare, `["VerifiableCredential"]`, `["VerifiableCredential","BitstringStatusListCredential"]`, 1),
			`{"Other":"` + status + `BitstringStatusListCredential"}`, strings.Replace(bare, `["VerifiableCredential"]`, `["VerifiableCredential","Other"]`, 1)},
		{"own term as full IRI", bare, ``, subject(`"urn:x:a":"x"`)},
		{"own type as full IRI", subject(`"type":"T","a":"x"`), ``, subject(`"type":"urn:x:T","a":"x"`)},
		{"own type by prefix", subject(`"type":"T","a":"x"`), `{"x":{"@id":"urn:x:","@prefix":true}}`, subject(`"type":"x:T","a":"x"`)},
		{"own value as full IRI", subject(`"v":"green"`), ``, subject(`"v":"urn:x:green"`)},
		{"second value under another term", subject(`"a":["x","y"]`), `{"c":"urn:x:a"}`, subject(`"a":"x","c":"y"`)},
		{"second term with the same value", bare, `{"c":"urn:x:a"}`, subject(`"a":"x","c":"x"`)},
		{"identifier shortened", subject(`"b":"did:ex:o"`), `{"p":{"@id":"did:ex:","@prefix":true}}`, subject(`"b":"p:o"`)},
		{"identifier relative to a base", subject(`"b":"https://b.example/o"`), `{"@base":"https://b.example/"}`, subject(`"b":"o"`)},
		// values
		{"member that says nothing", bare, ``, bare + `,"credentialStatus":null`},
		{"empty member", bare, ``, bare + `,"credentialStatus":[]`},
		{"empty member of the subject", bare, ``, subject(`"a":"x","b":[]`)},
		{"value lost as null", subject(`"a":["x"]`), ``, subject(`"a":["x",null]`)},
		{"bounds of lists", subject(`"a":["x","y"]`), ``, subject(`"a":[["x"],"y"]`)},
		{"value with its datatype repeated", subject(`"n":"2020-01-01"`), ``, subject(`"n":{"@value":"2020-01-01","@type":"http://www.w3.org/2001/XMLSchema#date"}`)},
		{"list as an object", subject(`"l":["x"]`), ``, subject(`"l":{"@list":["x"]}`)},
		{"language map", subject(`"a":{"@value":"x","@language":"en"}`), `{"a":{"@id":"urn:x:a","@container":["@language","@index"]}}`, subject(`"a":{"en":"x"}`)},
		{"index that is not signed", bare, `{"a":{"@id":"urn:x:a","@container":"@index"}}`, subject(`"a":{"unsigned":"x"}`)},
		{"index of a value", bare, ``, subject(`"a":{"@value":"x","@index":"unsigned"}`)},
		{"identifiers as keys", subject(`"b":{"id":"did:ex:o","a":"x"}`), `{"b":{"@id":"urn:x:b","@container":"@id"}}`, subject(`"b":{"did:ex:o":{"a":"x"}}`)},
		{"types as keys", subject(`"b":{"type":"T","a":"x"}`), `{"b":{"@id":"urn:x:b","@container":"@type"}}`, subject(`"b":{"T":{"a":"x"}}`)},
		{"said in reverse", subject(`"b":{"id":"did:ex:o","a":"x"}`), `{"of":{"@reverse":"urn:x:b"}}`, forgeryRest + `,"credentialSubject":{"id":"did:ex:s"},"b":{"id":"did:ex:o","a":"x","of":"did:ex:s"}`},
		{"nested members", bare, `{"more":"@nest"}`, subject(`"more":{"a":"x"}`)},
		// contexts within the document
		{"protected term in a context of a property", subject(`"b":{"id":"did:ex:o","name":"x","a":"y"}`),
			`{"b":{"@id":"urn:x:b","@context":{"name":"urn:x:a","a":"https://schema.org/name"}}}`, subject(`"b":{"id":"did:ex:o","name":"y","a":"x"}`)},
		{"all contexts taken back", bare, ``, subject(`"@context":[null,{"id":"@id","a":"urn:x:a"}],"a":"x"`)},
		{"term undefined and defined anew", bare, `{"name":null}`, subject(`"a":"x"`)},
		{"context that does not propagate", bare, ``, subject(`"@context":{"@propagate":false,"q":"urn:x:q"},"a":"x"`)},
		{"context imported", bare, `{"@import":"https://www.w3.org/2018/credentials/v1"}`, bare},
	} {
		t.Run(tt.name, func(t *testing.T) {
			signed, err := canonical(t, p, doc("", tt.signed))
			if err != nil {
				t.Fatalf("the signed document: %v", err)
			}
			forged := doc(tt.extra, tt.forged)
			if by, err := gold(p, forged); err != nil {
				t.Logf("json-gold refuses it: %v", err)
			} else if by != signed {
				t.Logf("by JSON-LD alone it states something else")
			}
			if out, err := p.Quads(t.Context(), forged); err == nil {
				t.Errorf("accepted: %v", out)
			} else {
				t.Log(err)
			}
		})
	}
}
