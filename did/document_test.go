package did_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/gowebpki/jcs"

	"ihyid/did"
)

const (
	keyP256 = "zDnaerx9CtbPJ1q36T5Ln5wYt3MQYeGRG5ehnPAmxcf5mDZpv"
	jwkP256 = `{"kty":"EC","crv":"P-256","x":"igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns","y":"efsX5b10x8yjyrj4ny3pGfLcY7Xby1KzgqOdqnsrJIM"}`
	subject = "did:web:ngo.example"
)

// document fills a document of subject: members beside its id.
func document(members string) string {
	if members != "" {
		members = "," + members
	}
	return `{"id":"` + subject + `"` + members + `}`
}

// method is a verification method "#k" with more members.
func method(members string) string {
	return `{"id":"#k","type":"Multikey","controller":"` + subject + `","publicKeyMultibase":"` + keyP256 + `"` + members + `}`
}

func TestParseDocument(t *testing.T) {
	text := `{
  "@context": ["https://www.w3.org/ns/did/v1", {"x": "urn:x"}],
  "id": "did:web:ngo.example",
  "controller": "did:web:owner.example",
  "alsoKnownAs": ["https://ngo.example/", "did:web:old.example"],
  "verificationMethod": [
    {"id": "#k1", "type": "Multikey", "controller": "did:web:ngo.example", "publicKeyMultibase": "` + keyP256 + `",
     "expires": "2027-01-01T01:00:00+01:00", "revoked": "2026-06-01T00:00:00.5Z"},
    {"id": "did:web:ngo.example#k2", "type": "JsonWebKey2020", "controller": "did:web:other.example", "publicKeyJwk": ` + jwkP256 + `},
    {"id": "#k3", "type": "EcdsaSecp256k1VerificationKey2019", "controller": "did:web:ngo.example", "publicKeyHex": "00"}
  ],
  "authentication": ["#k1", "did:web:ngo.example#k2", "did:web:other.example#k9"],
  "assertionMethod": [{"id": "#k4", "type": "Multikey", "controller": "did:web:ngo.example", "publicKeyMultibase": "` + keyP256 + `"}],
  "service": [
    {"id": "#node", "type": ["LinkedDomains", "IhyidNode"], "serviceEndpoint": ["https://ngo.example/node", {"a": "b"}]},
    {"id": "#map", "type": "Other", "serviceEndpoint": {"uri": "x"}}
  ],
  "unknown": {"n": 1.50, "big": "\ud83d\ude00 \u00e9"}
}`
	d, err := did.ParseDocument([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d.ID() != subject || string(d.Bytes()) != text {
		t.Error("id or bytes differ")
	}
	canonical, err := jcs.Transform([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if d.Digest() != sha256.Sum256(canonical) {
		t.Error("digest differs")
	}
	d.Bytes()[0] = 'X'
	if string(d.Bytes()) != text {
		t.Error("the caller can change the document")
	}
	if got := d.Controllers(); len(got) != 1 || got[0] != "did:web:owner.example" {
		t.Errorf("Controllers = %q", got)
	}
	if got := d.AlsoKnownAs(); len(got) != 2 || got[1] != "did:web:old.example" {
		t.Errorf("AlsoKnownAs = %q", got)
	}
	if got := d.Methods(); len(got) != 4 || got[3].ID != subject+"#k4" || got[3].Fragment() != "k4" {
		t.Errorf("Methods = %v", got)
	}
	k1, ok := d.Method("#k1")
	if !ok || k1.Expires != time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC) || k1.Revoked != time.Date(2026, 6, 1, 0, 0, 0, 5e8, time.UTC) {
		t.Errorf("k1 = %+v", k1)
	}
	k2, ok := d.Method(subject + "#k2")
	if !ok || k2.Controller != "did:web:other.example" || !k2.Expires.IsZero() || !k2.Revoked.IsZero() {
		t.Errorf("k2 = %+v", k2)
	}
	p1, err1 := k1.PublicKey()
	p2, err2 := k2.PublicKey()
	if err1 != nil || err2 != nil || !p1.(*ecdsa.PublicKey).Equal(p2) {
		t.Errorf("keys: %v, %v", err1, err2)
	}
	k3, _ := d.Method("#k3")
	if _, err := k3.PublicKey(); !errors.Is(err, did.ErrUnsupportedKey) {
		t.Errorf("k3: %v", err)
	}
	if v, ok := k3.Property("publicKeyHex"); !ok || v != "00" {
		t.Errorf("Property = %q, %v", v, ok)
	}
	for _, c := range []struct {
		rel, id string
		want    bool
	}{
		{did.Authentication, "#k1", true},
		{did.Authentication, subject + "#k1", true},
		{did.Authentication, "#k2", true},
		{did.Authentication, "#k3", false},
		{did.Authentication, "#k4", false},
		{did.Authentication, "did:web:other.example#k9", false},
		{did.Authentication, "k1", false},
		{did.Authentication, "", false},
		{did.Authentication, subject, false},
		{did.AssertionMethod, "#k4", true},
		{did.AssertionMethod, "#k1", false},
		{did.KeyAgreement, "#k1", false},
		{"verificationMethod", "#k1", false},
		{"", "#k1", false},
	} {
		if got := d.Authorizes(c.rel, c.id); got != c.want {
			t.Errorf("Authorizes(%q, %q) = %v", c.rel, c.id, got)
		}
	}
	s, ok := d.Service(did.ServiceTypeNode)
	if !ok || s != (did.Service{ID: subject + "#node", Type: "IhyidNode", Endpoint: "https://ngo.example/node"}) {
		t.Errorf("Service = %+v", s)
	}
	if all := d.Services(); len(all) != 2 || all[0].Type != "LinkedDomains" || all[1].Endpoint != "" {
		t.Errorf("Services = %+v", all)
	}
	if _, ok := d.Service("None"); ok {
		t.Error("found a service that is not there")
	}
}

// What another writer of the same document may do differently does not change the digest;
// anything else does.
func TestDigest(t *testing.T) {
	digest := func(s string) [32]byte {
		t.Helper()
		d, err := did.ParseDocument([]byte(s))
		if err != nil {
			t.Fatal(err)
		}
		return d.Digest()
	}
	a := digest(`{"id":"did:a:b","n":1.5,"s":"é","o":{"x":[true,null]}}`)
	if digest("{ \"o\": {\"x\": [true, null]},\n\"n\": 15e-1, \"s\": \"\\u00e9\", \"id\": \"did:a:\\u0062\" }") != a {
		t.Error("a mere spelling changes the digest")
	}
	if digest(`{"id":"did:a:b","n":1.5,"s":"e","o":{"x":[true,null]}}`) == a || digest(`{"id":"did:a:b","n":1.5,"s":"é","o":{"x":[null,true]}}`) == a {
		t.Error("another document has the same digest")
	}
}

func TestParseDocumentMalformed(t *testing.T) {
	many := func(n int, f func(i int) string) string {
		var parts []string
		for i := range n {
			parts = append(parts, f(i))
		}
		return strings.Join(parts, ",")
	}
	for name, c := range map[string]struct{ in, says string }{
		"empty":                {"", "line 1, column 1: the JSON text ends too early"},
		"white space":          {" \n ", "line 2, column 2"},
		"array":                {`[]`, "not a JSON object"},
		"string":               {`"did:a:b"`, "not a JSON object"},
		"null":                 {`null`, "not a JSON object"},
		"cut off":              {`{"id":"did:a:b"`, "column 16"},
		"trailing text":        {`{"id":"did:a:b"} {}`, "column 18: text after"},
		"trailing comma":       {`{"id":"did:a:b",}`, "column 17: a name"},
		"comment":              {`{/**/"id":"did:a:b"}`, "a name"},
		"single quotes":        {`{'id':'did:a:b'}`, "a name"},
		"BOM":                  {"\ufeff" + document(""), "column 1"},
		"duplicate name":       {`{"id":"did:a:b","id":"did:a:c"}`, "column 17: the same name"},
		"duplicate by escape":  {`{"id":"did:a:b","i\u0064":"did:a:c"}`, "the same name"},
		"duplicate deep down":  {document(`"x":[{"a":{"b":1,"b":2}}]`), "the same name"},
		"invalid UTF-8":        {document(`"x":"` + "\xff" + `"`), "UTF-8"},
		"encoded surrogate":    {document(`"x":"` + "\xed\xa0\x80" + `"`), "UTF-8"},
		"overlong UTF-8":       {document(`"x":"` + "\xc0\xaf" + `"`), "UTF-8"},
		"lone high surrogate":  {document(`"x":"\ud800"`), "surrogate"},
		"lone low surrogate":   {document(`"x":"\udc00"`), "surrogate"},
		"high surrogate twice": {document(`"x":"\ud800\ud800"`), "surrogate"},
		"surrogate in a name":  {document(`"\ud800":1`), "surrogate"},
		"surrogate then text":  {document(`"x":"\ud800abcdef"`), "surrogate"},
		"bad escape":           {document(`"x":"\x41"`), "escape"},
		"bad unicode escape":   {document(`"x":"\u00g0"`), "hexadecimal"},
		"control character":    {document(`"x":"` + "\n" + `"`), "control"},
		"open string":          {document(`"x":"`), "closing quotation mark"},
		"big integer":          {document(`"x":9007199254740993`), "double"},
		"long fraction":        {document(`"x":0.10000000000000000001`), "double"},
		"overflow":             {document(`"x":1e400`), "double"},
		"underflow":            {document(`"x":1e-400`), "double"},
		"exponent bomb":        {document(`"x":1e99999999999999999999`), "double"},
		"zero exponent bomb":   {document(`"x":0e99999999999999999999`), "double"},
		"very long number":     {document(`"x":1` + strings.Repeat("0", 100)), "double"},
		"leading zero":         {document(`"x":01`), "number"},
		"leading plus":         {document(`"x":+1`), "not a JSON value"},
		"bare point":           {document(`"x":1.`), "number"},
		"NaN":                  {document(`"x":NaN`), "not a JSON value"},
		"minus alone":          {document(`"x":-`), "number"},
		"deep":                 {document(`"x":` + strings.Repeat("[", 40) + strings.Repeat("]", 40)), "deeper"},
		"deep, open":           {strings.Repeat(`{"a":`, 10000), "deeper"},
		"too large":            {document(`"x":"` + strings.Repeat("a", did.MaxDocumentSize) + `"`), "more than 65536"},
		"no id":                {`{}`, "id: missing"},
		"id no string":         {`{"id":1}`, "id: missing"},
		"id null":              {`{"id":null}`, "id: missing"},
		"id no DID":            {`{"id":"https://a.example"}`, "id: "},
		"id a DID URL":         {`{"id":"did:a:b#c"}`, "id: "},
		"context null":         {document(`"@context":null`), "@context"},
		"context number":       {document(`"@context":1`), "@context"},
		"context odd entry":    {document(`"@context":["https://www.w3.org/ns/did/v1",2]`), "@context[1]"},
		"controller no DID":    {document(`"controller":"me"`), "controller[0]"},
		"controller number":    {document(`"controller":5`), "controller"},
		"controller twice":     {document(`"controller":["did:a:b","did:a:b"]`), "controller[1]: a second time"},
		"alias no URI":         {document(`"alsoKnownAs":["x y"]`), "alsoKnownAs[0]"},
		"alias string":         {document(`"alsoKnownAs":"https://a.example"`), "alsoKnownAs: not an array"},
		"methods no array":     {document(`"verificationMethod":{}`), "verificationMethod: not an array"},
		"methods null":         {document(`"verificationMethod":null`), "verificationMethod: not an array"},
		"method no object":     {document(`"verificationMethod":["#k"]`), "verificationMethod[0]: not an object"},
		"method without id":    {document(`"verificationMethod":[{"type":"Multikey"}]`), "verificationMethod[0]: id"},
		"method id of another": {document(`"verificationMethod":[{"id":"did:web:bank.example#k","type":"Multikey","controller":"did:a:b","publicKeyMultibase":"` + keyP256 + `"}]`), "verificationMethod[0]: id: belongs to another DID"},
		"method id the DID":    {document(`"verificationMethod":[{"id":"` + subject + `"}]`), "no fragment"},
		"method id empty frag": {document(`"verificationMethod":[{"id":"#"}]`), "no fragment"},
		"method id no URL":     {document(`"verificationMethod":[{"id":"# k"}]`), "not a DID URL"},
		"method id relative":   {document(`"verificationMethod":[{"id":"k"}]`), "not a DID URL"},
		"method id twice":      {document(`"verificationMethod":[` + method("") + `,{"id":"` + subject + `#k","type":"X","controller":"did:a:b"}]`), "verificationMethod[1]: id: used a second time"},
		"method without type":  {document(`"verificationMethod":[{"id":"#k","controller":"did:a:b"}]`), "type"},
		"method no controller": {document(`"verificationMethod":[{"id":"#k","type":"Multikey"}]`), "controller"},
		"controller odd":       {document(`"verificationMethod":[{"id":"#k","type":"Multikey","controller":"x"}]`), "controller"},
		"expires odd":          {document(`"verificationMethod":[` + method(`,"expires":"tomorrow"`) + `]`), "expires"},
		"revoked number":       {document(`"verificationMethod":[` + method(`,"revoked":1767225600`) + `]`), "revoked"},
		"revoked without zone": {document(`"verificationMethod":[` + method(`,"revoked":"2026-01-01T00:00:00"`) + `]`), "revoked"},
		"revoked null":         {document(`"verificationMethod":[` + method(`,"revoked":null`) + `]`), "revoked"},
		"no key material":      {document(`"verificationMethod":[{"id":"#k","type":"Multikey","controller":"did:a:b"}]`), "publicKeyMultibase"},
		"two key materials":    {document(`"verificationMethod":[` + method(`,"publicKeyJwk":`+jwkP256) + `]`), "both"},
		"bad multikey":         {document(`"verificationMethod":[{"id":"#k","type":"Multikey","controller":"did:a:b","publicKeyMultibase":"` + multikeyOf(t, "802402"+strings.Repeat("ff", 32)) + `"}]`), "not a valid public key"},
		"secret multikey":      {document(`"verificationMethod":[` + method(`,"secretKeyMultibase":"z42"`) + `]`), "a secret key is published"},
		"secret JWK":           {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":` + strings.Replace(jwkP256, `{`, `{"d":"AA",`, 1) + `}]`), "a secret key is published"},
		"secret in unknown":    {document(`"verificationMethod":[{"id":"#k","type":"Odd","controller":"did:a:b","publicKeyJwk":{"kty":"oct","k":"AA"}}]`), "a secret key is published"},
		"JWK off the curve":    {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":` + strings.Replace(jwkP256, `"y":"e`, `"y":"f`, 1) + `}]`), "not a point"},
		"JWK of wrong curve":   {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":` + strings.Replace(jwkP256, `P-256`, `P-384`, 1) + `}]`), "43 characters, not 64"},
		"JWK infinity":         {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"EC","crv":"P-256","x":"` + strings.Repeat("A", 43) + `","y":"` + strings.Repeat("A", 43) + `"}}]`), "not a point"},
		"JWK padded":           {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":` + strings.Replace(jwkP256, `vzns"`, `vzns="`, 1) + `}]`), "characters"},
		"JWK loose bits":       {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":` + strings.Replace(jwkP256, `vzns"`, `vznt"`, 1) + `}]`), "base64url"},
		"AKP short":            {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"AKP","alg":"MLKEM768-X25519","pub":"AAAA"}}]`), "4 characters"},
		"AKP out of the ring":  {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"AKP","alg":"MLKEM768-X25519","pub":"` + strings.Repeat("_", 1620) + `_w"}}]`), "not an encapsulation key"},
		"AKP of small order":   {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"AKP","alg":"MLKEM768-X25519","pub":"` + strings.Repeat("A", 1622) + `"}}]`), "small order"},
		"AKP with a secret":    {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"AKP","alg":"MLKEM768-X25519","pub":"","priv":""}}]`), "a secret key is published"},
		"JWK without y":        {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{"kty":"EC","crv":"P-256","x":"igrFmi0whuihKnj9R3Om1SoMph72wUGeFaBbzG2vzns"}}]`), `"y"`},
		"JWK without kty":      {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":{}}]`), "kty"},
		"JWK a string":         {document(`"verificationMethod":[{"id":"#k","type":"JsonWebKey","controller":"did:a:b","publicKeyJwk":"x"}]`), "publicKeyJwk"},
		"too many methods":     {document(`"verificationMethod":[` + many(did.MaxMethods+1, func(i int) string { return fmt.Sprintf(`{"id":"#k%d","type":"X","controller":"did:a:b"}`, i) }) + `]`), "more than 128"},
		"too many embedded":    {document(`"verificationMethod":[` + many(did.MaxMethods, func(i int) string { return fmt.Sprintf(`{"id":"#k%d","type":"X","controller":"did:a:b"}`, i) }) + `],"authentication":[` + method("") + `]`), "authentication[0]: more than 128"},
		"too many references":  {document(`"authentication":[` + many(300, func(i int) string { return `"did:a:c#k"` }) + `]`), "more than 256"},
		"relationship string":  {document(`"authentication":"#k"`), "authentication: not an array"},
		"dangling reference":   {document(`"verificationMethod":[` + method("") + `],"authentication":["#k2"]`), "authentication[0]: refers"},
		"odd reference":        {document(`"authentication":["k"]`), "authentication[0]: not a DID URL"},
		"number as reference":  {document(`"authentication":[1]`), "authentication[0]: not an object"},
		"embedded of another":  {document(`"authentication":[{"id":"did:a:b#k","type":"X","controller":"did:a:b"}]`), "belongs to another DID"},
		"embedded a second":    {document(`"verificationMethod":[` + method("") + `],"authentication":[` + method("") + `]`), "a second time"},
		"service no array":     {document(`"service":{}`), "service: not an array"},
		"service no object":    {document(`"service":["x"]`), "service[0]"},
		"service without id":   {document(`"service":[{"type":"X","serviceEndpoint":"https://a.example"}]`), "service[0]: id"},
		"service of another":   {document(`"service":[{"id":"did:a:b#s","type":"X","serviceEndpoint":"https://a.example"}]`), "service[0]: id: belongs"},
		"service id as method": {document(`"verificationMethod":[` + method("") + `],"service":[{"id":"#k","type":"X","serviceEndpoint":"https://a.example"}]`), "service[0]: id: used a second time"},
		"service without type": {document(`"service":[{"id":"#s","serviceEndpoint":"https://a.example"}]`), "service[0]: type"},
		"service odd type":     {document(`"service":[{"id":"#s","type":[1],"serviceEndpoint":"https://a.example"}]`), "service[0]: type[0]"},
		"service no endpoint":  {document(`"service":[{"id":"#s","type":"X"}]`), "service[0]: serviceEndpoint[0]: missing"},
		"service endpoint odd": {document(`"service":[{"id":"#s","type":"X","serviceEndpoint":"not a url"}]`), "serviceEndpoint[0]: not a URI"},
		"service endpoint rel": {document(`"service":[{"id":"#s","type":"X","serviceEndpoint":"/path"}]`), "serviceEndpoint[0]: not a URI"},
		"service no endpoints": {document(`"service":[{"id":"#s","type":"X","serviceEndpoint":[]}]`), "serviceEndpoint: empty"},
		"too many services":    {document(`"service":[` + many(did.MaxServices+1, func(i int) string { return "{}" }) + `]`), "more than 64"},
	} {
		d, err := did.ParseDocument([]byte(c.in))
		if err == nil {
			t.Errorf("%s: accepted as %s", name, d.ID())
			continue
		}
		if did.CodeOf(err) != did.InvalidDIDDocument || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q in it", name, err, c.says)
		}
		if len(err.Error()) > 300 {
			t.Errorf("%s: an error of %d bytes", name, len(err.Error()))
		}
	}
}

// An error says where, and never what.
func TestErrorsHoldNoValues(t *testing.T) {
	const secret = "Houman-1976"
	for _, in := range []string{
		`{"` + secret + `":1,"` + secret + `":1}`,
		document(`"verificationMethod":[{"id":"` + secret + `"}]`),
		document(`"verificationMethod":[{"id":"did:web:` + secret + `#k"}]`),
		document(`"authentication":["` + secret + `"]`),
		document(`"alsoKnownAs":["` + secret + `"]`),
		document(`"service":[{"id":"#s","type":"X","serviceEndpoint":"` + secret + `"}]`),
		document(`"verificationMethod":[` + method(`,"revoked":"`+secret+`"`) + `]`),
		document(`"verificationMethod":[{"id":"#k","type":"Multikey","controller":"did:a:b","publicKeyMultibase":"z` + secret + `"}]`),
		document(`"x":"` + secret + `\x"`),
	} {
		if _, err := did.ParseDocument([]byte(in)); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestBuild(t *testing.T) {
	now, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	old, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	revoked := time.Date(2026, 5, 1, 10, 0, 0, 999, time.FixedZone("", 3600))
	spec := did.DocumentSpec{
		ID: "did:web:ngo.example%3A8443:lb",
		Keys: []did.SpecKey{
			{Fragment: "key-2", Public: &now.PublicKey, Relationships: []string{did.AssertionMethod, did.Authentication}, Expires: time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)},
			{Fragment: "key-1", Public: &old.PublicKey, Relationships: []string{did.AssertionMethod}, Revoked: revoked},
		},
		Other: []did.SpecMethod{
			{Fragment: "hpke", Type: "HybridKey", Properties: map[string]string{"publicKeyBase64": "AAEC"}, Relationships: []string{did.KeyAgreement}},
		},
		Services:    []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "https://ngo.example:8443/"}},
		AlsoKnownAs: []string{"https://ngo.example/"},
	}
	d, err := did.Build(spec)
	if err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(d.Bytes()) != d.Digest() {
		t.Error("not in canonical form")
	}
	if again, err := did.Build(spec); err != nil || string(again.Bytes()) != string(d.Bytes()) {
		t.Errorf("the same spec gives other bytes: %v", err)
	}
	if len(d.Methods()) != 5 {
		t.Errorf("%d methods", len(d.Methods()))
	}
	for _, c := range []struct {
		id, typ string
		key     *ecdsa.PublicKey
		auth    bool
		expires bool
		revoked time.Time
	}{
		{"#key-2", "Multikey", &now.PublicKey, true, true, time.Time{}},
		{"#key-2-jwk", "JsonWebKey", &now.PublicKey, true, true, time.Time{}},
		{"#key-1", "Multikey", &old.PublicKey, false, false, time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)},
		{"#key-1-jwk", "JsonWebKey", &old.PublicKey, false, false, time.Date(2026, 5, 1, 9, 0, 0, 0, time.UTC)},
	} {
		m, ok := d.Method(c.id)
		if !ok {
			t.Errorf("no %s", c.id)
			continue
		}
		k, err := m.PublicKey()
		if err != nil || !c.key.Equal(k) || m.Type != c.typ || m.Controller != spec.ID || m.Expires.IsZero() == c.expires || m.Revoked != c.revoked {
			t.Errorf("%s: %+v, %v", c.id, m, err)
		}
		if !d.Authorizes(did.AssertionMethod, c.id) || d.Authorizes(did.Authentication, c.id) != c.auth {
			t.Errorf("%s: wrong relationships", c.id)
		}
	}
	hpke, ok := d.Method("#hpke")
	if v, has := hpke.Property("publicKeyBase64"); !ok || !has || v != "AAEC" || !d.Authorizes(did.KeyAgreement, "#hpke") {
		t.Error("the other method is not as specified")
	}
	if s, ok := d.Service(did.ServiceTypeNode); !ok || s.Endpoint != "https://ngo.example:8443/" || s.ID != spec.ID+"#node" {
		t.Errorf("service %+v", s)
	}
	var v struct {
		Context []any `json:"@context"`
	}
	if err := json.Unmarshal(d.Bytes(), &v); err != nil || len(v.Context) != 4 || v.Context[0] != "https://www.w3.org/ns/did/v1" {
		t.Errorf("@context %v, %v", v.Context, err)
	}

	key := did.SpecKey{Fragment: "k", Public: &now.PublicKey, Relationships: []string{did.AssertionMethod}}
	for name, c := range map[string]struct {
		spec did.DocumentSpec
		says string
	}{
		"no id":              {did.DocumentSpec{Keys: []did.SpecKey{key}}, "id: "},
		"id no DID":          {did.DocumentSpec{ID: "x", Keys: []did.SpecKey{key}}, "id: "},
		"no fragment":        {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Public: key.Public, Relationships: key.Relationships}}}, "keys[0]: no fragment"},
		"odd fragment":       {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Fragment: "a b", Public: key.Public, Relationships: key.Relationships}}}, "not a DID URL"},
		"no relationship":    {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Fragment: "k", Public: key.Public}}}, "without a relationship"},
		"odd relationship":   {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Fragment: "k", Public: key.Public, Relationships: []string{"service"}}}}, "does not define"},
		"the same key id":    {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{key, key}}, "second time"},
		"twin's id is taken": {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{key, {Fragment: "k-jwk", Public: key.Public, Relationships: key.Relationships}}}, "second time"},
		"no key":             {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Fragment: "k", Relationships: key.Relationships}}}, "not supported"},
		"weak key":           {did.DocumentSpec{ID: spec.ID, Keys: []did.SpecKey{{Fragment: "k", Public: make(ed25519.PublicKey, 32), Relationships: key.Relationships}}}, "small order"},
		"node over http":     {did.DocumentSpec{ID: spec.ID, Services: []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "http://ngo.example"}}}, "https URL"},
		"node with a query":  {did.DocumentSpec{ID: spec.ID, Services: []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "https://ngo.example/?a"}}}, "https URL"},
		"node with a user":   {did.DocumentSpec{ID: spec.ID, Services: []did.Service{{ID: "#node", Type: did.ServiceTypeNode, Endpoint: "https://a@ngo.example/"}}}, "https URL"},
		"service of another": {did.DocumentSpec{ID: spec.ID, Services: []did.Service{{ID: "did:a:b#s", Type: "X", Endpoint: "https://a.example"}}}, "belongs to another"},
		"service, no type":   {did.DocumentSpec{ID: spec.ID, Services: []did.Service{{ID: "#s", Endpoint: "https://a.example"}}}, "type: empty"},
		"alias no URI":       {did.DocumentSpec{ID: spec.ID, AlsoKnownAs: []string{"me"}}, "alsoKnownAs[0]"},
		"secret in other":    {did.DocumentSpec{ID: spec.ID, Other: []did.SpecMethod{{Fragment: "k", Type: "X", Properties: map[string]string{"secretKeyMultibase": "z"}, Relationships: key.Relationships}}}, "secret key"},
	} {
		if d, err := did.Build(c.spec); err == nil {
			t.Errorf("%s: built %s", name, d.Bytes())
		} else if did.CodeOf(err) != did.InvalidDIDDocument || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v; want %q in it", name, err, c.says)
		}
	}
}

func TestDocumentJSON(t *testing.T) {
	d, err := did.ParseDocument([]byte(document(`"x":"<&>"`)))
	if err != nil {
		t.Fatal(err)
	}
	b, err := json.Marshal(map[string]any{"doc": d})
	if err != nil {
		t.Fatal(err)
	}
	var back struct{ Doc *did.Document }
	if err := json.Unmarshal(b, &back); err != nil || back.Doc.Digest() != d.Digest() {
		t.Errorf("%s: %v", b, err)
	}
	if err := json.Unmarshal([]byte(`{"doc":{"id":1}}`), &back); did.CodeOf(err) != did.InvalidDIDDocument {
		t.Errorf("a bad document: %v", err)
	}
}
