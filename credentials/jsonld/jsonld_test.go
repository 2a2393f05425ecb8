package jsonld

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/piprate/json-gold/ld"

	"ihyid/credentials/ijson"
	"ihyid/credentials/rdfc"
)

const v2 = "https://www.w3.org/ns/credentials/v2"

func processor(t testing.TB) *Processor {
	t.Helper()
	p, err := New(Options{Contexts: map[string][]byte{
		"https://vocab.example/": []byte(`{"@context":{"@vocab":"https://vocab.example/#"}}`),
	}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func parse(t testing.TB, text string) map[string]any {
	t.Helper()
	d, err := ijson.ParseObject([]byte(text), ijson.Limits{})
	if err != nil {
		t.Fatalf("%v in %s", err, text)
	}
	return d
}

// credential makes a document from a context object and members of the credential, both as JSON without
// the outer braces.
func credential(extra, members string) string {
	if !strings.Contains(members, `"credentialSubject"`) {
		members += `,"credentialSubject":{"id":"did:ex:s","a":"x"}`
	}
	members = strings.TrimPrefix(members, ",")
	if strings.Contains(members, `"type":["VerifiableCredential",`) {
		return fmt.Sprintf(`{"@context":["%s",{"a":"urn:x:a","b":"urn:x:b","T":"urn:x:T"},{%s}],"issuer":"did:ex:i",%s}`, v2, extra, members)
	}
	return fmt.Sprintf(`{"@context":["%s",{"a":"urn:x:a","b":"urn:x:b","T":"urn:x:T"},{%s}],"type":["VerifiableCredential"],"issuer":"did:ex:i"%s}`,
		v2, extra, ","+strings.TrimPrefix(members, ","))
}

// canonical gives the canonical form of a document, and makes sure that what is accepted states what json-gold makes of it.
func canonical(t testing.TB, p *Processor, d map[string]any) (string, error) {
	t.Helper()
	quads, err := p.Quads(context.Background(), d)
	if err != nil {
		return "", err
	}
	out, err := rdfc.Canonicalize(context.Background(), quads, rdfc.Options{Hash: crypto.SHA256})
	own := string(out)
	if err != nil || hasType(d, "VerifiablePresentation") && d["verifiableCredential"] != nil { // which json-gold cannot expand
		return own, err
	}
	other, err := gold(p, d)
	if err != nil || other != own {
		t.Fatalf("%v; json-gold:\n%s\nhere:\n%s", err, other, own)
	}
	return own, nil
}

// gold gives the canonical form of what json-gold makes of a document, by the letter of JSON-LD and without the rule of this package.
func gold(p *Processor, d map[string]any) (string, error) {
	o := ld.NewJsonLdOptions("")
	o.ProcessingMode, o.DocumentLoader, o.SafeMode = ld.JsonLd_1_1, p.remote, true
	active, err := ld.NewContext(nil, o).Parse(d["@context"])
	if err != nil {
		return "", err
	}
	body := maps.Clone(d)
	delete(body, "@context")
	expanded, err := ld.NewJsonLdApi().Expand(active, "", body, o, false, nil)
	if err != nil {
		return "", err
	}
	b := &builder{p: p}
	if _, err := b.node(expanded.(map[string]any), rdfc.Term{}); err != nil {
		return "", err
	}
	out, err := rdfc.Canonicalize(context.Background(), b.quads, rdfc.Options{Hash: crypto.SHA256})
	return string(out), err
}

// What the expander drops, lets through or changes without a word, and what a reader of JSON would
// take for something else than was signed.
func TestRefused(t *testing.T) {
	p := processor(t)
	subject := func(s string) string { return `"credentialSubject":{` + s + `}` }
	for name, doc := range map[string]string{
		// dropped by expansion
		"undefined property":            credential(``, subject(`"id":"did:ex:s","undefined":"x"`)),
		"undefined property at the top": credential(``, `"undefined":"x"`),
		"undefined type":                credential(``, subject(`"type":"Undefined","a":"x"`)),
		"type looks like a keyword":     credential(``, subject(`"type":"@foo","a":"x"`)),
		"id looks like a keyword":       credential(``, subject(`"id":"@foo","a":"x"`)),
		"term looks like a keyword":     credential(``, subject(`"@foo":"x","a":"x"`)),
		"term for a keyword-like IRI":   credential(`"c":"@foo"`, subject(`"c":"x","a":"y"`)),
		"relative id":                   credential(``, subject(`"id":"relative","a":"x"`)),
		"empty id":                      credential(``, subject(`"id":"","a":"x"`)),
		"fragment id":                   credential(``, subject(`"id":"#x","a":"x"`)),
		"relative id by base":           credential(`"@base":"https://base.example/"`, subject(`"id":"x","a":"x"`)),
		"relative IRI value":            credential(`"c":{"@id":"urn:x:c","@type":"@id"}`, subject(`"c":"relative"`)),
		"null":                          credential(``, subject(`"a":null,"b":"x"`)),
		"null in a list":                credential(``, subject(`"a":["x",null]`)),
		"null value":                    credential(``, subject(`"a":{"@value":null},"b":"x"`)),
		"empty list":                    credential(``, subject(`"a":[],"b":"x"`)),
		"empty list in a list":          credential(``, subject(`"a":["x",[]]`)),
		"set":                           credential(``, subject(`"a":{"@set":["x"]}`)),
		"list within a list":            credential(``, subject(`"a":[["x"]]`)),
		"empty set":                     credential(``, subject(`"a":{"@set":[]},"b":"x"`)),
		"empty type":                    credential(``, subject(`"type":[],"a":"x"`)),
		"scalar in a graph":             credential(``, `"proof":"did:ex:nothing"`),
		"value in a graph":              credential(`"g":{"@id":"urn:x:g","@container":"@graph"}`, subject(`"g":"x"`)),
		"node of no statement in graph": credential(``, `"proof":{"id":"did:ex:nothing"}`),
		"@graph":                        credential(``, subject(`"a":{"@graph":[{"a":"x"}]}`)),
		"@included":                     credential(``, subject(`"a":"x","@included":[{"a":"y"}]`)),
		"@index":                        credential(``, subject(`"a":{"@value":"x","@index":"unsigned"}`)),
		"@reverse":                      credential(``, subject(`"@reverse":{"a":{"id":"did:ex:o"}}`)),
		"@nest":                         credential(``, subject(`"@nest":{"a":"x"}`)),
		"error swallowed in a list":     credential(``, subject(`"a":{"@list":[{"undefined":"x"}]}`)),
		"error swallowed in a set":      credential(``, subject(`"a":{"@set":[{"undefined":"x"}]}`)),
		"id and alias":                  credential(`"c":"@id"`, subject(`"id":"did:ex:s","c":"did:ex:t","a":"x"`)),
		"type twice":                    credential(`"c":"@type"`, subject(`"type":["T"],"c":["T"],"a":"x"`)),
		// not RDF
		"predicate with a space":       credential(`"c":"https://a.b-c.example/x y"`, subject(`"c":"x"`)),
		"predicate with a brace":       credential(`"c":"urn:x:{c}"`, subject(`"c":"x"`)),
		"vocabulary term with a space": credential(`"@vocab":"urn:v:"`, subject(`"not an IRI":"x"`)),
		"blank node predicate":         credential(`"c":"_:b"`, subject(`"c":"x"`)),
		"blank node vocabulary":        credential(`"@vocab":"_:v"`, subject(`"c":"x"`)),
		"relative vocabulary":          credential(`"@vocab":""`, subject(`"c":"x"`)),
		"blank node type":              credential(``, subject(`"type":"_:t","a":"x"`)),
		"id with a space":              credential(``, subject(`"id":"did:ex:s s","a":"x"`)),
		"datatype relative":            credential(``, subject(`"a":{"@value":"x","@type":"rel"}`)),
		"datatype blank":               credential(``, subject(`"a":{"@value":"x","@type":"_:d"}`)),
		"language malformed":           credential(``, subject(`"a":{"@value":"x","@language":"e n"}`)),
		"language of a number":         credential(``, subject(`"a":{"@value":1,"@language":"en"}`)),
		"direction unknown":            credential(``, subject(`"a":{"@value":"x","@direction":"up"}`)),
		"language and type":            credential(``, subject(`"a":{"@value":"x","@language":"en","@type":"urn:d"}`)),
		"language without value":       credential(``, subject(`"a":{"@language":"en"},"b":"x"`)),
		// JSON and RDF would say different things
		"core term as full IRI":          credential(``, `"https://www.w3.org/2018/credentials#validUntil":{"@value":"2020-01-01T00:00:00Z","@type":"http://www.w3.org/2001/XMLSchema#dateTime"}`),
		"core term by another term":      credential(`"until":{"@id":"https://www.w3.org/2018/credentials#validUntil","@type":"http://www.w3.org/2001/XMLSchema#dateTime"}`, `"until":"2020-01-01T00:00:00Z"`),
		"core term by prefix":            credential(`"cred":{"@id":"https://www.w3.org/2018/credentials#","@prefix":true}`, `"cred:validUntil":"x"`),
		"core term by vocabulary":        credential(`"@vocab":"https://www.w3.org/2018/"`, `"credentials#credentialStatus":{"id":"urn:x"}`),
		"status by another term":         credential(`"st":{"@id":"https://www.w3.org/2018/credentials#credentialStatus","@type":"@id"}`, `"st":{"id":"urn:x:status","type":"T"}`),
		"own term as full IRI":           credential(``, subject(`"urn:x:a":"x"`)),
		"own term by prefix":             credential(`"x":{"@id":"urn:x:","@prefix":true}`, subject(`"x:a":"x"`)),
		"@id":                            credential(``, subject(`"@id":"did:ex:s","a":"x"`)),
		"@type":                          credential(``, subject(`"@type":"T","a":"x"`)),
		"id by another term":             credential(`"identity":"@id"`, subject(`"identity":"did:ex:s","a":"x"`)),
		"type by another term":           credential(`"kind":"@type"`, subject(`"kind":"T","a":"x"`)),
		"shortened id":                   credential(`"p":{"@id":"did:ex:","@prefix":true}`, subject(`"id":"p:s","a":"x"`)),
		"shortened value":                credential(`"p":{"@id":"did:ex:","@prefix":true},"c":{"@id":"urn:x:c","@type":"@id"}`, subject(`"c":"p:s"`)),
		"protected term redefined":       credential(`"name":"urn:x:name"`, `"name":"x"`),
		"protected term set to null":     credential(`"name":null`, ``),
		"protected term freed by null":   `{"@context":["` + v2 + `",{"name":null},{"name":"urn:x:name"}],"type":["VerifiableCredential"],"issuer":"did:ex:i","name":"x","credentialSubject":{"name":"y"}}`,
		"null context":                   credential(``, subject(`"@context":null,"a":"x"`)),
		"null context in a term":         credential(`"c":{"@id":"urn:x:c","@context":null}`, subject(`"c":{"a":"x"}`)),
		"scoped term for a core term":    credential(`"Z":{"@id":"urn:x:Z","@context":{"validUntil":"urn:x:other"}}`, `"type":["VerifiableCredential","Z"],"validUntil":"2020-01-01T00:00:00Z"`),
		"statement of the top elsewhere": `{"@context":["` + v2 + `",{"a":"urn:x:a"}],"id":"urn:x:vc","type":["VerifiableCredential"],"issuer":"did:ex:i","credentialSubject":{"a":{"id":"urn:x:vc","type":["VerifiableCredential"],"validUntil":"2020-01-01T00:00:00Z"}}}`,
		"values by index":                credential(`"c":{"@id":"urn:x:c","@container":"@index"}`, subject(`"c":{"unsigned":"x"}`)),
		"values by id":                   credential(`"c":{"@id":"urn:x:c","@container":"@id"}`, subject(`"c":{"did:ex:q":{"a":"x"}}`)),
		"values by type":                 credential(`"c":{"@id":"urn:x:c","@container":"@type"}`, subject(`"c":{"T":{"a":"x"}}`)),
		"value by another name":          credential(`"val":"@value"`, subject(`"a":{"val":"x"}`)),
		"reverse term":                   credential(`"c":{"@reverse":"urn:x:c"}`, subject(`"c":{"id":"did:ex:o","a":"x"}`)),
		"@import":                        credential(`"@import":"`+v2+`"`, ``),
		"@propagate":                     credential(`"@propagate":false`, ``),
		"unknown context":                credential(``, subject(`"@context":"https://evil.example/","a":"x"`)),
		"no context":                     `{"type":["VerifiableCredential"],"credentialSubject":{}}`,
		"context a number":               credential(``, subject(`"@context":1,"a":"x"`)),
		// would make the expander panic
		"container a number":      credential(`"c":{"@id":"urn:x:c","@container":1}`, subject(`"c":"x"`)),
		"protected not a boolean": credential(`"@protected":1`, ``),
		"prefix not a boolean":    credential(`"c":{"@id":"urn:x:c","@prefix":"yes"}`, ``),
		"type a number":           credential(``, subject(`"type":1,"a":"x"`)),
		"type an object":          credential(``, subject(`"type":{"a":"b"},"a":"x"`)),
		"id a number":             credential(``, subject(`"id":1,"a":"x"`)),
		"version 1.0":             credential(`"@version":1.0`, ``),
		"cyclic terms":            credential(`"c":"d:x","d":"c:x"`, subject(`"c":"x"`)),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := canonical(t, p, parse(t, strings.ReplaceAll(doc, ",,", ",")))
			if err == nil {
				t.Fatalf("accepted:\n%s", out)
			}
			t.Log(err)
			if !errors.Is(err, ErrDocument) && !errors.Is(err, ErrUnknownContext) {
				t.Errorf("%v", err)
			}
			if strings.Contains(err.Error(), "evil") && name != "unknown context" {
				t.Errorf("the error repeats a value: %v", err)
			}
		})
	}
}

// What has to pass, and what it states.
func TestStated(t *testing.T) {
	p := processor(t)
	s := func(o string) string { return `<did:ex:s> <urn:x:c> ` + o + " .\n" }
	for name, tt := range map[string]struct{ term, value, want string }{
		"string":            {`"c":"urn:x:c"`, `"x"`, s(`"x"`)},
		"empty string":      {`"c":"urn:x:c"`, `""`, s(`""`)},
		"number":            {`"c":"urn:x:c"`, `7`, s(`"7"^^<http://www.w3.org/2001/XMLSchema#integer>`)},
		"zero":              {`"c":"urn:x:c"`, `0`, s(`"0"^^<http://www.w3.org/2001/XMLSchema#integer>`)},
		"negative":          {`"c":"urn:x:c"`, `-12`, s(`"-12"^^<http://www.w3.org/2001/XMLSchema#integer>`)},
		"double":            {`"c":"urn:x:c"`, `5.5`, s(`"5.5E0"^^<http://www.w3.org/2001/XMLSchema#double>`)},
		"small":             {`"c":"urn:x:c"`, `0.00000012`, s(`"1.2E-7"^^<http://www.w3.org/2001/XMLSchema#double>`)},
		"large":             {`"c":"urn:x:c"`, `1e21`, s(`"1.0E21"^^<http://www.w3.org/2001/XMLSchema#double>`)},
		"rounded":           {`"c":"urn:x:c"`, `0.12345678901234568`, s(`"1.234567890123457E-1"^^<http://www.w3.org/2001/XMLSchema#double>`)},
		"as a double":       {`"c":{"@id":"urn:x:c","@type":"http://www.w3.org/2001/XMLSchema#double"}`, `7`, s(`"7.0E0"^^<http://www.w3.org/2001/XMLSchema#double>`)},
		"boolean":           {`"c":"urn:x:c"`, `true`, s(`"true"^^<http://www.w3.org/2001/XMLSchema#boolean>`)},
		"typed":             {`"c":{"@id":"urn:x:c","@type":"urn:d"}`, `"x"`, s(`"x"^^<urn:d>`)},
		"value object":      {`"c":"urn:x:c"`, `{"@value":"x","@type":"urn:d"}`, s(`"x"^^<urn:d>`)},
		"language":          {`"c":"urn:x:c"`, `{"@value":"x","@language":"en-GB"}`, s(`"x"@en-gb`)},
		"direction":         {`"c":"urn:x:c"`, `{"@value":"x","@language":"AR","@direction":"rtl"}`, s(`"x"^^<https://www.w3.org/ns/i18n#ar_rtl>`)},
		"direction alone":   {`"c":"urn:x:c"`, `{"@value":"x","@direction":"ltr"}`, s(`"x"^^<https://www.w3.org/ns/i18n#_ltr>`)},
		"default language":  {`"@language":"fr","c":"urn:x:c"`, `"x"`, s(`"x"@fr`)},
		"language map":      {`"c":{"@id":"urn:x:c","@container":"@language"}`, `{"en":"x","fr":["y","z"]}`, s(`"x"@en`) + s(`"y"@fr`) + s(`"z"@fr`)},
		"IRI":               {`"c":{"@id":"urn:x:c","@type":"@id"}`, `"did:ex:o"`, s(`<did:ex:o>`)},
		"term as value":     {`"c":{"@id":"urn:x:c","@type":"@vocab"},"d":"urn:x:d"`, `"d"`, s(`<urn:x:d>`)},
		"reference":         {`"c":"urn:x:c"`, `{"id":"did:ex:o"}`, s(`<did:ex:o>`)},
		"nodes":             {`"c":"urn:x:c"`, `[{"id":"did:ex:o","a":"x"}]`, s(`<did:ex:o>`) + "<did:ex:o> <urn:x:a> \"x\" .\n"},
		"twice":             {`"c":"urn:x:c"`, `["x","x"]`, s(`"x"`)},
		"list":              {`"c":{"@id":"urn:x:c","@container":"@list"}`, `["x"]`, s(`_:c14n0`) + "_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#first> \"x\" .\n_:c14n0 <http://www.w3.org/1999/02/22-rdf-syntax-ns#rest> <http://www.w3.org/1999/02/22-rdf-syntax-ns#nil> .\n"},
		"empty list":        {`"c":{"@id":"urn:x:c","@container":"@list"}`, `[]`, s(`<http://www.w3.org/1999/02/22-rdf-syntax-ns#nil>`)},
		"JSON":              {`"c":{"@id":"urn:x:c","@type":"@json"}`, `{"b":[1,null,[]],"a":{"x":"y"}}`, s(`"{\"a\":{\"x\":\"y\"},\"b\":[1,null,[]]}"^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON>`)},
		"JSON scalar":       {`"c":{"@id":"urn:x:c","@type":"@json"}`, `"s"`, s(`"\"s\""^^<http://www.w3.org/1999/02/22-rdf-syntax-ns#JSON>`)},
		"vocabulary":        {`"@vocab":"urn:x:"`, `"x"`, s(`"x"`)},
		"prefix in a term":  {`"x":{"@id":"urn:x:","@prefix":true},"c":"x:c"`, `"x"`, s(`"x"`)},
		"blank node":        {`"c":"urn:x:c"`, `[{"id":"_:b0","a":"x"},{"a":"y"}]`, s(`_:c14n0`) + s(`_:c14n1`) + "_:c14n0 <urn:x:a> \"x\" .\n_:c14n1 <urn:x:a> \"y\" .\n"},
		"context in a node": {`"c":"urn:x:c"`, `{"@context":{"q":"urn:x:q"},"id":"did:ex:o","q":"x"}`, s(`<did:ex:o>`) + "<did:ex:o> <urn:x:q> \"x\" .\n"},
		"key with tilde":    {`"c":"urn:x:c","d~1e":"urn:x:d"`, `{"id":"did:ex:o","d~1e":{"id":"did:ex:p","a":"x"}}`, s(`<did:ex:o>`) + "<did:ex:o> <urn:x:d> <did:ex:p> .\n<did:ex:p> <urn:x:a> \"x\" .\n"},
	} {
		t.Run(name, func(t *testing.T) {
			doc := credential(tt.term, `"credentialSubject":{"id":"did:ex:s","c":`+tt.value+`}`)
			got, err := canonical(t, p, parse(t, doc))
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]bool{}
			for _, l := range strings.SplitAfter(tt.want, "\n") {
				want[l] = true
			}
			n := 0
			for _, l := range strings.SplitAfter(got, "\n") {
				if l == "" || strings.Contains(l, "/credentials#") {
					continue
				}
				n++
				if !want[l] && !strings.Contains(tt.want, "_:c14n") {
					t.Errorf("not expected: %s", l)
				}
			}
			if n != len(want)-1 {
				t.Errorf("%d statements, want %d:\n%s", n, len(want)-1, got)
			}
			if !strings.Contains(tt.want, "_:c14n") {
				return
			}
			if strings.Count(got, "_:c14n") < 2*strings.Count(tt.want, "<urn:x:c> _:") {
				t.Errorf("blank nodes are missing:\n%s", got)
			}
		})
	}
}

// An embedded credential becomes a graph, in which its proof is another.
func TestPresentationGraphs(t *testing.T) {
	p := processor(t)
	vc := credential(``, `"id":"urn:x:vc","proof":{"type":"DataIntegrityProof","proofPurpose":"assertionMethod","proofValue":"zzz"}`)
	got, err := canonical(t, p, parse(t, `{"@context":["`+v2+`"],"type":"VerifiablePresentation","holder":"did:ex:h","verifiableCredential":[`+vc+`]}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		` <https://www.w3.org/2018/credentials#verifiableCredential> _:c14n`,
		`<urn:x:vc> <https://www.w3.org/2018/credentials#issuer> <did:ex:i> _:c14n`,
		`<urn:x:vc> <https://w3id.org/security#proof> _:c14n`,
		`<https://w3id.org/security#proofPurpose> <https://w3id.org/security#assertionMethod> _:c14n`,
		`"zzz"^^<https://w3id.org/security#multibase> _:c14n`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%s is missing in\n%s", want, got)
		}
	}
	for _, bad := range []string{`["did:ex:vc"]`, `"did:ex:vc"`, `[{"type":"VerifiableCredential","a":"x"}]`} {
		if _, err := canonical(t, p, parse(t, `{"@context":["`+v2+`"],"type":"VerifiablePresentation","verifiableCredential":`+bad+`}`)); err == nil {
			t.Errorf("%s is accepted", bad)
		}
	}
}

func TestLimits(t *testing.T) {
	p, err := New(Options{MaxObjects: 5, MaxScalars: 9, MaxContexts: 2, MaxContextValues: 20})
	if err != nil {
		t.Fatal(err)
	}
	for name, doc := range map[string]string{
		"objects":  credential(``, `"credentialSubject":[{"a":"x"},{"a":"x"},{"a":"x"},{"a":"x"},{"a":"x"}]`),
		"values":   credential(``, `"credentialSubject":{"a":["1","2","3","4","5","6","7","8"]}`),
		"contexts": credential(``, `"credentialSubject":{"@context":{},"a":{"@context":{},"b":"x"}}`),
		"context":  credential(`"c":"urn:c","d":"urn:d","e":"urn:e","f":"urn:f","g":"urn:g","h":"urn:h","i":"urn:i","j":"urn:j","k":"urn:k","l":"urn:l","m":"urn:m","n":"urn:n","o":"urn:o","p":"urn:p","q":"urn:q"`, ``),
		"depth":    credential(strings.Repeat(`"c":{"@id":"urn:x:c","@context":{`, 17)+strings.Repeat(`}}`, 17), ``),
	} {
		if _, err := canonical(t, p, parse(t, strings.ReplaceAll(doc, ",,", ","))); !errors.Is(err, ErrDocument) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	for name, c := range map[string]map[string]string{
		"embedded":   {v2: `{"@context":{}}`},
		"not JSON":   {"urn:c": `{`},
		"no context": {"urn:c": `{}`},
		"itself":     {"urn:c": `{"@context":["urn:d"]}`, "urn:d": `{"@context":{"x":{"@id":"urn:x","@context":"urn:c"}}}`},
		"unknown":    {"urn:c": `{"@context":"urn:d"}`},
		"import":     {"urn:c": `{"@context":{"@import":"` + v2 + `"}}`},
	} {
		contexts := map[string][]byte{}
		for url, text := range c {
			contexts[url] = []byte(text)
		}
		if _, err := New(Options{Contexts: contexts}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// The expansion leaves the document and the parsed contexts as they are, so documents can share them.
func TestConcurrent(t *testing.T) {
	p := processor(t)
	text := credential(`"@vocab":"urn:v:"`, `"credentialSubject":{"id":"did:ex:s","a":{"q":["x",{"r":"y"}]}}`)
	d := parse(t, text)
	want, err := canonical(t, p, d)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 4 {
		t.Run(fmt.Sprint(i), func(t *testing.T) {
			t.Parallel()
			for range 50 {
				if got, err := canonical(t, p, d); err != nil || got != want {
					t.Fatal(err, got)
				}
			}
		})
	}
	t.Cleanup(func() {
		a, _ := json.Marshal(d)
		b, _ := json.Marshal(parse(t, text))
		if string(a) != string(b) {
			t.Error("the document was changed")
		}
	})
}

func TestContextCacheIsBounded(t *testing.T) {
	p := processor(t)
	for i := range 3 * maxCached {
		if _, err := canonical(t, p, parse(t, credential(fmt.Sprintf(`"c%d":"urn:x:c"`, i), ``))); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(p.parsed); n > maxCached {
		t.Errorf("%d contexts are kept", n)
	}
}

func FuzzQuads(f *testing.F) {
	for _, members := range []string{
		`"credentialSubject":{"id":"did:ex:s","a":["x",1,true,{"@value":"y","@language":"en","@direction":"rtl"},{"@list":["z"]}]}`,
		`"credentialSubject":{"@context":{"c":{"@id":"urn:x:c","@container":"@graph","@context":{"d":"urn:x:d"}}},"c":{"d":"x"}}`,
		`"credentialSubject":{"a":null,"b":[[]],"T":{"@set":[]}},"validUntil":"x","proof":{"type":"DataIntegrityProof","proofPurpose":"assertionMethod"}`,
	} {
		f.Add([]byte(credential(``, members)))
		f.Add([]byte(`{"@context":["` + v2 + `"],"type":"VerifiablePresentation","verifiableCredential":[` + credential(``, members) + `]}`))
	}
	p, err := New(Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		d, err := ijson.ParseObject(in, ijson.Limits{})
		if err != nil {
			return
		}
		quads, err := p.Quads(t.Context(), d)
		if err != nil {
			return
		}
		for i := range quads {
			if err := quads[i].Validate(); err != nil {
				t.Fatalf("a quad that is none: %v", err)
			}
		}
		if len(quads) < 100 {
			_, _ = canonical(t, p, d) // compares with json-gold
		}
		if c, err := ijson.Canonical(d); err != nil || len(c) == 0 {
			t.Fatal("the document was spoilt")
		}
	})
}

func BenchmarkQuads(b *testing.B) {
	p := processor(b)
	d := parse(b, credential(``, `"id":"urn:x:vc","validFrom":"2026-01-01T00:00:00Z","credentialSubject":{"id":"did:ex:s","a":["x","y"],"b":"z"}`))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := p.Quads(b.Context(), d); err != nil {
			b.Fatal(err)
		}
	}
}

// Documents for which it could make a difference what is prepared (canonical compares).
func TestPrepared(t *testing.T) {
	p := processor(t)
	proof := `"proof":{"type":"DataIntegrityProof","proofPurpose":"assertionMethod","created":"2026-01-01T00:00:00Z","domain":["a","b"],"proofValue":"zzz"}`
	for name, doc := range map[string]string{
		"two proofs":                  credential(``, `"proof":[{"type":"DataIntegrityProof","proofValue":"zz"},{"id":"urn:p","type":"DataIntegrityProof","previousProof":"urn:q","proofValue":"zzz"}]`),
		"own type scoped":             credential(`"Z":{"@id":"urn:x:Z","@context":{"q":"urn:x:q"}}`, `"type":["VerifiableCredential","Z"],"q":"x",`+proof),
		"both types":                  `{"@context":["` + v2 + `"],"id":"urn:x:1","type":["VerifiablePresentation","VerifiableCredential"],"issuer":"did:ex:i","credentialSubject":{"id":"did:ex:s","name":"x"},"holder":"did:ex:h",` + proof + `}`,
		"type twice":                  `{"@context":["` + v2 + `"],"id":"urn:x:1","type":["VerifiableCredential","VerifiableCredential"],"issuer":"did:ex:i","credentialSubject":{"id":"did:ex:s","name":"x"},` + proof + `}`,
		"proof of context":            credential(``, `"proof":{"@context":["`+v2+`",{"q":"urn:x:q"}],"type":"DataIntegrityProof","q":"x","proofValue":"zz"}`),
		"proof of no type":            credential(``, `"proof":{"a":"x"}`),
		"nested proof":                credential(``, `"credentialSubject":{"a":{"type":"VerifiableCredential","issuer":"did:ex:i",`+proof+`}}`),
		"vocabulary":                  credential(`"@vocab":"urn:v:"`, `"q":"x","credentialSubject":{"issuer":"x","domain":"y"},`+proof),
		"configuration":               `{"@context":["` + v2 + `"],"type":"DataIntegrityProof","cryptosuite":"x","proofPurpose":"assertionMethod","challenge":"c","domain":"d"}`,
		"protected term of a purpose": credential(`"keyAgreement":{"@id":"urn:x:k","@protected":true},"assertionMethod":{"@id":"urn:x:m","@protected":true}`, `"credentialSubject":{"keyAgreement":"x","assertionMethod":"y"},`+proof),
		"nodes inside":                credential(``, `"credentialSubject":[{"id":"did:ex:s","type":"T","a":{"b":"x"}},{"a":"x"}],"evidence":{"type":"T","a":{"type":"DataIntegrityProof","domain":"d"}},`+proof),
	} {
		t.Run(name, func(t *testing.T) {
			out, err := canonical(t, p, parse(t, doc))
			if err != nil {
				t.Fatal(err)
			}
			if strings.Count(out, "\n") < 3 {
				t.Errorf("states too little:\n%s", out)
			}
		})
	}
}
