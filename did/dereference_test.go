package did_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"ihyid/did"
)

const contextV1 = `"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"]`

// served is a document of subject with one of each thing.
var served = document(contextV1 + `,
 "verificationMethod":[{"id":"#k","type":"Multikey","controller":"` + subject + `","publicKeyMultibase":"` + keyP256 + `"}],
 "assertionMethod":["#k"],
 "authentication":[{"id":"#auth","type":"Multikey","controller":"` + subject + `","publicKeyMultibase":"` + keyP256 + `"}],
 "service":[
  {"id":"#files","type":"Files","serviceEndpoint":"https://ngo.example/files/a?x=1"},
  {"id":"` + subject + `#node","type":["IhyidNode","Files"],"serviceEndpoint":["https://ngo.example/node/",{"x":"y"},"https://ngo.example/second/"]},
  {"id":"#mail","type":"Mail","serviceEndpoint":"mailto:a@ngo.example"},
  {"id":"#frag","type":"Frag","serviceEndpoint":"https://ngo.example/#there"},
  {"id":"#map","type":"Map","serviceEndpoint":{"x":"y"}}]`)

func mustParse(t testing.TB, s string) *did.Document {
	t.Helper()
	d, err := did.ParseDocument([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func newDereferencer(t testing.TB) *did.Dereferencer {
	t.Helper()
	return &did.Dereferencer{Resolver: did.Fixed{
		subject:                  mustParse(t, served),
		"did:web:plain.example":  mustParse(t, `{"id":"did:web:plain.example"}`),
		"did:web:odd.example":    mustParse(t, `{"@context":"https://other.example/","id":"did:web:odd.example"}`),
		"did:web:local%3A8443:x": mustParse(t, `{"id":"did:web:local%3A8443:x"}`),
	}}
}

func compact(t testing.TB, b []byte) string {
	t.Helper()
	var v any
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%s: %v", b, err)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestDereference(t *testing.T) {
	d := newDereferencer(t)
	key := `{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"controller":"` + subject + `","id":"` + subject + `#k","publicKeyMultibase":"` + keyP256 + `","type":"Multikey"}`
	service := func(id, typ, endpoint string) string {
		return `{"@context":["https://www.w3.org/ns/did/v1","https://w3id.org/security/multikey/v1"],"id":"` + subject + "#" + id + `","serviceEndpoint":` + endpoint + `,"type":` + typ + `}`
	}
	for url, want := range map[string]string{
		subject:                          compact(t, []byte(served)),
		subject + "#k":                   key,
		subject + "#auth":                strings.Replace(key, "#k", "#auth", 1),
		subject + "#files":               service("files", `"Files"`, `"https://ngo.example/files/a?x=1"`),
		subject + "?service=files#files": service("files", `"Files"`, `"https://ngo.example/files/a?x=1"`),
		subject + "?service=files#k":     key,
	} {
		r, err := d.Dereference(t.Context(), url, did.DereferenceOptions{})
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if compact(t, r.Content) != want || r.ContentType != did.MediaTypeJSONLD || r.Document.ID() != subject || len(r.VersionID) != 64 {
			t.Errorf("%s: %s %s", url, r.ContentType, r.Content)
		}
		if (r.Method != nil) != (strings.HasSuffix(url, "#k") || strings.HasSuffix(url, "#auth")) {
			t.Errorf("%s: method %v", url, r.Method)
		}
	}
	// Services as a document with no others.
	for query, want := range map[string][]string{
		"service=files":    {"#files"},
		"service=%23files": {"#files"},
		"service=" + url.QueryEscape(subject+"#node"): {subject + "#node"},
		"serviceType=Files":                           {"#files", subject + "#node"},
		"serviceType=IhyidNode":                       {subject + "#node"},
		"service=files&serviceType=Mail":              nil,
		"service=none":                                nil,
		"service=did:web:other.example%23files":       nil,
	} {
		r, err := d.Dereference(t.Context(), subject+"?"+query, did.DereferenceOptions{Accept: did.MediaTypeDID})
		if err != nil {
			t.Errorf("%s: %v", query, err)
			continue
		}
		var got struct {
			Method  []any `json:"verificationMethod"`
			Service []struct{ ID string }
		}
		if err := json.Unmarshal(r.Content, &got); err != nil {
			t.Fatal(err)
		}
		var ids []string
		for _, s := range got.Service {
			ids = append(ids, s.ID)
		}
		if fmt.Sprint(ids) != fmt.Sprint(want) || len(got.Method) != 1 || r.ContentType != did.MediaTypeDID {
			t.Errorf("%s: %s %s", query, r.ContentType, r.Content)
		}
	}
	// Services as URLs.
	for u, want := range map[string]string{
		"?service=files":                                        "https://ngo.example/files/a?x=1",
		"?service=files&relativeRef=b":                          "https://ngo.example/files/b",
		"?service=files&relativeRef=%2Fc%3Fd%3De%26f":           "https://ngo.example/c?d=e&f",
		"?service=files&relativeRef=":                           "https://ngo.example/files/a?x=1",
		"?service=files&relativeRef=a%2Bb+c":                    "https://ngo.example/files/a+b+c",
		"?service=files#top":                                    "https://ngo.example/files/a?x=1#top",
		"?service=files#a%2Fb":                                  "https://ngo.example/files/a?x=1#a%2Fb",
		"?serviceType=IhyidNode&relativeRef=v1":                 "https://ngo.example/node/v1 https://ngo.example/second/v1",
		"?service=mail":                                         "mailto:a@ngo.example",
		"?service=frag":                                         "https://ngo.example/#there",
		"?service=files&relativeRef=..%2F..%2F..%2Fetc#%3Cx%3E": "https://ngo.example/etc#%3Cx%3E",
	} {
		r, err := d.Dereference(t.Context(), subject+u, did.DereferenceOptions{Accept: did.MediaTypeURIList})
		if err != nil || strings.Join(r.URLs, " ") != want || r.ContentType != did.MediaTypeURIList || string(r.Content) != strings.Join(r.URLs, "\r\n")+"\r\n" {
			t.Errorf("%s: %+v, %v", u, r, err)
		}
	}
}

func TestDereferenceErrors(t *testing.T) {
	d := newDereferencer(t)
	list := did.DereferenceOptions{Accept: did.MediaTypeURIList}
	rel := func(r string) did.DereferenceOptions { return did.DereferenceOptions{VerificationRelationship: r} }
	for _, c := range []struct {
		url  string
		opts did.DereferenceOptions
		code did.Code
	}{
		{"x", did.DereferenceOptions{}, did.InvalidDIDURL},
		{"#k", did.DereferenceOptions{}, did.InvalidDIDURL},
		{"did:web:none.example#k", did.DereferenceOptions{}, did.NotFound},
		{subject + "#none", did.DereferenceOptions{}, did.NotFound},
		{subject + "#", did.DereferenceOptions{}, did.NotFound},
		{subject + "/path", did.DereferenceOptions{}, did.NotFound},
		{subject + "/path#k", did.DereferenceOptions{}, did.NotFound},
		{subject + "?", did.DereferenceOptions{}, did.FeatureNotSupported},
		{subject + "?hl=zQm", did.DereferenceOptions{}, did.FeatureNotSupported},
		{subject + "?service=files&x=y", did.DereferenceOptions{}, did.FeatureNotSupported},
		{subject + "?service=files&service=node", did.DereferenceOptions{}, did.InvalidDIDURL},
		{subject + "?service=", did.DereferenceOptions{}, did.InvalidDIDURL},
		{subject + "?relativeRef=x", did.DereferenceOptions{}, did.InvalidDIDURL},
		{subject + "?versionId=00", did.DereferenceOptions{}, did.FeatureNotSupported},
		{subject + "?versionTime=yesterday", did.DereferenceOptions{}, did.InvalidDIDURL},
		{subject + "?service=files#node", did.DereferenceOptions{}, did.NotFound}, // not among the selected
		{subject + "?service=none", list, did.NotFound},
		{subject + "?service=map", list, did.NotFound},
		{subject + "#k", list, did.RepresentationNotSupported},
		{subject, did.DereferenceOptions{Accept: "text/html"}, did.RepresentationNotSupported},
		{"did:web:odd.example", did.DereferenceOptions{Accept: did.MediaTypeJSONLD}, did.RepresentationNotSupported},
		{subject + "?service=files&relativeRef=%2F%2Fevil.example%2F", list, did.InvalidDIDURL},
		{subject + "?service=files&relativeRef=https%3A%2F%2Fevil.example", list, did.InvalidDIDURL},
		{subject + "?service=files&relativeRef=javascript%3Aalert", list, did.InvalidDIDURL},
		{subject + "?service=files&relativeRef=%2F%2F%2Fx", list, did.InvalidDIDURL},
		{subject + "?service=files&relativeRef=%00", list, did.InvalidDIDURL},
		{subject + "?service=mail&relativeRef=x", list, did.InvalidDIDURL},
		{subject + "?service=frag#x", list, did.InvalidDIDURL},
		{subject + "#k", rel("nonsense"), did.InvalidOptions},
		{subject + "#k", rel(did.Authentication), did.InvalidRelationship},
		{subject + "#auth", rel(did.AssertionMethod), did.InvalidRelationship},
		{subject + "#files", rel(did.AssertionMethod), did.InvalidVerificationMethod},
		{subject + "#none", rel(did.AssertionMethod), did.InvalidVerificationMethod},
		{subject, rel(did.AssertionMethod), did.InvalidVerificationMethod},
	} {
		if r, err := d.Dereference(t.Context(), c.url, c.opts); did.CodeOf(err) != c.code {
			t.Errorf("%s %+v: %v, %v; want %s", c.url, c.opts, r, err, c.code)
		}
	}
	if _, err := d.Dereference(t.Context(), subject+"#k", rel(did.AssertionMethod)); err != nil {
		t.Error(err)
	}
	if _, err := d.Dereference(t.Context(), subject+"#auth", rel(did.Authentication)); err != nil {
		t.Error(err)
	}
}

func TestRepresent(t *testing.T) {
	for name, c := range map[string]struct {
		doc, typ, want string
	}{
		"as it is":         {served, did.MediaTypeJSONLD, served},
		"as JSON":          {served, did.MediaTypeJSON, served},
		"as either":        {served, did.MediaTypeDID, served},
		"v1.1":             {document(`"@context":"https://www.w3.org/ns/did/v1.1"`), did.MediaTypeJSONLD, document(`"@context":"https://www.w3.org/ns/did/v1.1"`)},
		"none, JSON":       {document(""), did.MediaTypeJSON, document("")},
		"none, either":     {document(""), did.MediaTypeDID, document("")},
		"none, JSON-LD":    {document(`"x":"<&>"`), did.MediaTypeJSONLD, `{"@context":"https://www.w3.org/ns/did/v1","id":"` + subject + `","x":"<&>"}`},
		"another, JSON":    {document(`"@context":["https://a.example"]`), did.MediaTypeJSON, document(`"@context":["https://a.example"]`)},
		"another, JSON-LD": {document(`"@context":["https://a.example","https://www.w3.org/ns/did/v1"]`), did.MediaTypeJSONLD, ""},
		"empty, JSON-LD":   {document(`"@context":[]`), did.MediaTypeJSONLD, ""},
		"another type":     {served, "application/json", ""},
	} {
		b, err := mustParse(t, c.doc).Represent(c.typ)
		if string(b) != c.want || (c.want == "") != (did.CodeOf(err) == did.RepresentationNotSupported) {
			t.Errorf("%s: %s, %v", name, b, err)
		}
	}
}

func TestExpanded(t *testing.T) {
	d, err := mustParse(t, served).Expanded()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(d.Bytes()), `"#`) || d.Digest() == mustParse(t, served).Digest() {
		t.Errorf("%s", d.Bytes())
	}
	again, err := d.Expanded()
	if err != nil || again.Digest() != d.Digest() {
		t.Errorf("not done at once: %v", err)
	}
	if !d.Authorizes(did.AssertionMethod, "#k") || !d.Authorizes(did.Authentication, "#auth") || len(d.Services()) != 5 {
		t.Error("something was lost")
	}
}

func TestHistory(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{}}
	c := newClock()
	begin := c.now()
	h := &did.MemoryHistory{Keep: func(d string) bool { return d == subject }}
	r := did.NewResolver(did.Options{Web: web, Now: c.now, History: h, MaxAge: -1})
	d := &did.Dereferencer{Resolver: r, History: h}
	var ids []string
	for _, v := range []string{"1", "2", "2", "1", "3"} {
		web.set(subjectURL, page{body: document(`"v":"` + v + `"`), contentType: "application/did"})
		res, err := r.Resolve(t.Context(), subject)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, res.VersionID)
		if first := len(ids) == 1; res.Updated.IsZero() != first {
			t.Errorf("version %d: updated %v", len(ids), res.Updated)
		}
		c.add(time.Hour)
	}
	web.set("https://b.example/.well-known/did.json", page{body: `{"id":"did:web:b.example"}`, contentType: "application/did"})
	if _, err := r.Resolve(t.Context(), "did:web:b.example"); err != nil {
		t.Errorf("a DID that is not kept: %v", err)
	}
	if _, err := h.VersionAt(t.Context(), "did:web:b.example", c.now()); did.CodeOf(err) != did.NotFound {
		t.Errorf("it was kept: %v", err)
	}
	for _, x := range []struct {
		at   time.Duration
		want int // index of ids, -1 for none
		next string
	}{{-1, -1, ""}, {0, 0, ids[1]}, {time.Hour - 1, 0, ids[1]}, {time.Hour, 1, ids[3]}, {2 * time.Hour, 1, ids[3]}, {3 * time.Hour, 3, ids[4]}, {9 * time.Hour, 4, ""}} {
		res, err := d.Resolve(t.Context(), subject, did.ResolveOptions{VersionTime: begin.Add(x.at)})
		switch {
		case x.want < 0:
			if did.CodeOf(err) != did.NotFound {
				t.Errorf("at %v: %v", x.at, err)
			}
		case err != nil || res.VersionID != ids[x.want] || res.NextVersionID != x.next:
			t.Errorf("at %v: %+v, %v", x.at, res, err)
		}
	}
	res, err := d.Resolve(t.Context(), subject, did.ResolveOptions{VersionID: ids[1]})
	if err != nil || did.VersionID(res.Document) != ids[1] || !res.Updated.Equal(begin.Add(time.Hour)) || !res.NextUpdate.Equal(begin.Add(3*time.Hour)) {
		t.Errorf("%+v, %v", res, err)
	}
	part, err := d.Dereference(t.Context(), subject+"?versionId="+ids[0], did.DereferenceOptions{})
	if err != nil || string(part.Content) != document(`"v":"1"`) {
		t.Errorf("%+v, %v", part, err)
	}
	part, err = d.Dereference(t.Context(), subject+"?versionTime="+begin.Add(90*time.Minute).Format(time.RFC3339), did.DereferenceOptions{})
	if err != nil || string(part.Content) != document(`"v":"2"`) {
		t.Errorf("%+v, %v", part, err)
	}
	for _, o := range []did.ResolveOptions{{VersionID: "00"}, {VersionID: strings.ToUpper(ids[0])}} {
		if _, err := d.Resolve(t.Context(), subject, o); did.CodeOf(err) != did.NotFound {
			t.Errorf("%+v: %v", o, err)
		}
	}
	if _, err := d.Resolve(t.Context(), subject, did.ResolveOptions{VersionID: ids[0], VersionTime: begin}); did.CodeOf(err) != did.InvalidOptions {
		t.Errorf("both: %v", err)
	}
	if _, err := d.Resolve(t.Context(), "x", did.ResolveOptions{VersionID: ids[0]}); did.CodeOf(err) != did.InvalidDID {
		t.Errorf("no DID: %v", err)
	}

	// A history that cannot keep what it should keep is not passed over.
	full := did.NewResolver(did.Options{Web: web, History: &did.MemoryHistory{Max: 1}, MaxAge: -1, NegativeAge: -1})
	if _, err := full.Resolve(t.Context(), subject); err != nil {
		t.Fatal(err)
	}
	if _, err := full.Resolve(t.Context(), subject); err != nil {
		t.Errorf("the same version again: %v", err)
	}
	if _, err := full.Resolve(t.Context(), "did:web:b.example"); did.CodeOf(err) != did.InternalError {
		t.Errorf("a full history: %v", err)
	}
}

func TestGet(t *testing.T) {
	d := newDereferencer(t)
	all := compact(t, []byte(served))
	plain := `{"id":"did:web:plain.example"}`
	for name, c := range map[string]struct {
		id, query, accept string
		status            int
		typ               string
		has               string // in the body
	}{
		"default":             {subject, "", "", 200, did.MediaTypeResolution, `"didDocument":` + `{`},
		"anything":            {subject, "", "*/*", 200, did.MediaTypeResolution, `"versionId":"`},
		"result":              {subject, "", "application/did-resolution", 200, did.MediaTypeResolution, `"contentType":"application/did+ld+json"`},
		"older name":          {subject, "", `application/ld+json;profile="https://w3id.org/did-resolution"`, 200, did.MediaTypeResolution, `"didDocument"`},
		"JSON":                {subject, "", "application/json", 200, "application/json", `"didDocument"`},
		"JSON-LD":             {subject, "", "application/did+ld+json", 200, did.MediaTypeJSONLD, served},
		"DID JSON":            {subject, "", "application/did+json", 200, did.MediaTypeJSON, served},
		"DID":                 {subject, "", "application/did", 200, did.MediaTypeDID, served},
		"preference":          {subject, "", "application/did;q=0.5, application/did+json;q=0.9, */*;q=0.1", 200, did.MediaTypeJSON, served},
		"exclusion":           {subject, "", "*/*, application/did-resolution;q=0, application/json;q=0", 200, did.MediaTypeDID, served},
		"context added":       {"did:web:plain.example", "", "application/did+ld+json", 200, did.MediaTypeJSONLD, `{"@context":"https://www.w3.org/ns/did/v1","id":"did:web:plain.example"}`},
		"port, literally":     {"did:web:local%3A8443:x", "", "application/did", 200, did.MediaTypeDID, "local%3A8443:x"},
		"port, encoded":       {"did%3Aweb%3Alocal%253A8443%3Ax", "", "application/did", 200, did.MediaTypeDID, "local%3A8443:x"},
		"port, half encoded":  {"did:web:local%253A8443:x", "", "application/did", 200, did.MediaTypeDID, "local%3A8443:x"},
		"key":                 {"did:key:" + keyP256, "", "", 404, did.MediaTypeResolution, `"error":{"type":"https://www.w3.org/ns/did#NOT_FOUND"`}, // not in Fixed
		"not there":           {"did:web:none.example", "", "", 404, did.MediaTypeResolution, `{"didDocument":null,"didResolutionMetadata":{"error":{"type":"https://www.w3.org/ns/did#NOT_FOUND","title":"DID not found","detail":`},
		"not there, document": {"did:web:none.example", "", "application/did", 404, "application/problem+json", `"status":404`},
		"no DID":              {"ngo.example", "", "", 400, did.MediaTypeResolution, "#INVALID_DID\""},
		"empty":               {"", "", "", 400, did.MediaTypeResolution, "#INVALID_DID\""},
		"bad encoding":        {"did%3Aweb%", "", "", 400, "application/problem+json", "#INVALID_DID_URL"},
		"bad query":           {"did%3Aweb%3Aa.example", "a=%zz", "", 400, "application/problem+json", "#INVALID_DID_URL"},
		"not acceptable":      {subject, "", "text/html", 406, "application/problem+json", "#REPRESENTATION_NOT_SUPPORTED"},
		"no JSON-LD":          {"did:web:odd.example", "", "application/did+ld+json", 406, "application/problem+json", "#REPRESENTATION_NOT_SUPPORTED"},
		"odd Accept":          {subject, "", "application", 400, "application/problem+json", "#INVALID_OPTIONS"},
		"odd weight":          {subject, "", "*/*;q=2", 400, "application/problem+json", "#INVALID_OPTIONS"},
		"NaN weight":          {subject, "", "*/*;q=NaN", 400, "application/problem+json", "#INVALID_OPTIONS"},
		"long Accept":         {subject, "", strings.Repeat("*/*,", 2000), 400, "application/problem+json", "#INVALID_OPTIONS"},
		"expanded":            {"did%3Aweb%3Ango.example", "expandRelativeUrls=true", "application/did", 200, did.MediaTypeDID, `"assertionMethod":["did:web:ngo.example#k"]`},
		"not expanded":        {"did%3Aweb%3Ango.example", "expandRelativeUrls=false", "application/did", 200, did.MediaTypeDID, `"assertionMethod":["#k"]`},
		"odd option":          {"did%3Aweb%3Ango.example", "expandRelativeUrls=yes", "", 400, did.MediaTypeResolution, "#INVALID_OPTIONS"},
		"option twice":        {"did%3Aweb%3Ango.example", "versionId=1&versionId=2", "", 400, did.MediaTypeResolution, "#INVALID_OPTIONS"},
		"odd time":            {"did%3Aweb%3Ango.example", "versionTime=now", "", 400, did.MediaTypeResolution, "#INVALID_OPTIONS"},
		"no cache":            {"did%3Aweb%3Ango.example", "noCache=true", "", 501, did.MediaTypeResolution, "#FEATURE_NOT_SUPPORTED"},
		"no history":          {"did%3Aweb%3Ango.example", "versionId=00", "", 501, did.MediaTypeResolution, "#FEATURE_NOT_SUPPORTED"},

		"URL":                  {subject + "%23k", "", "", 200, did.MediaTypeDereferencing, `{"content":{"@context":`},
		"URL, encoded":         {"did%3Aweb%3Ango.example%23k", "verificationRelationship=assertionMethod", "application/did", 200, did.MediaTypeDID, keyP256},
		"URL, JSON":            {subject + "%23k", "", "application/json", 200, "application/json", `"contentMetadata":{"versionId":"`},
		"URL, relationship":    {subject + "%23k", "verificationRelationship=authentication", "", 500, did.MediaTypeDereferencing, "https://w3id.org/security#INVALID_RELATIONSHIP_FOR_VERIFICATION_METHOD"},
		"URL, option of a DID": {subject + "%23k", "versionId=1", "", 501, did.MediaTypeDereferencing, "#FEATURE_NOT_SUPPORTED"},
		"URL, not there":       {subject + "%23none", "", "", 404, did.MediaTypeDereferencing, `{"content":null,"dereferencingMetadata":{"error"`},
		"URL, bare":            {subject + "%23none", "", "application/did", 404, "application/problem+json", "#NOT_FOUND"},
		"URL, malformed":       {"did%3Aweb%3A%23k", "", "", 400, did.MediaTypeDereferencing, "#INVALID_DID_URL"},
		"URL, not acceptable":  {subject + "%23k", "", "image/png", 406, "application/problem+json", "#REPRESENTATION_NOT_SUPPORTED"},
		"URL, odd Accept":      {subject + "%23k", "", "image", 400, "application/problem+json", "#INVALID_OPTIONS"},
		"service":              {subject, "service=files&relativeRef=%2Fb", "text/uri-list", 303, "", ""},
		"service, encoded":     {"did%3Aweb%3Ango.example%3Fservice%3Dfiles%26relativeRef%3D%252Fb", "", "text/uri-list", 303, "", ""},
		"service, document":    {subject, "service=files", "application/did", 200, did.MediaTypeDID, `"id":"#files"`},
		"service, missing":     {subject, "service=none", "text/uri-list", 404, "application/problem+json", "#NOT_FOUND"},
		"no service":           {subject + "%23k", "", "text/uri-list", 406, "application/problem+json", "#REPRESENTATION_NOT_SUPPORTED"},
	} {
		r := d.Get(t.Context(), c.id, c.query, c.accept)
		if r.Status != c.status || r.ContentType != c.typ || !strings.Contains(string(r.Body), c.has) {
			t.Errorf("%s: %d %s %s", name, r.Status, r.ContentType, r.Body)
		}
		if (r.Status >= 400) != (r.Err != nil) {
			t.Errorf("%s: status %d with error %v", name, r.Status, r.Err)
		}
		if r.Status == http.StatusSeeOther && (r.Location != "https://ngo.example/b" || len(r.Body) != 0) {
			t.Errorf("%s: Location %q", name, r.Location)
		}
	}
	r := d.Get(t.Context(), subject, "", "")
	var result struct {
		DIDDocument json.RawMessage
	}
	if err := json.Unmarshal(r.Body, &result); err != nil || compact(t, result.DIDDocument) != all {
		t.Errorf("another document in the result: %v", err)
	}
	r = d.Get(t.Context(), "did:web:plain.example", "", "")
	if want := `{"didDocument":` + plain + `,"didResolutionMetadata":{"contentType":"application/did+json"},"didDocumentMetadata":{"versionId":"`; !strings.HasPrefix(string(r.Body), want) {
		t.Errorf("%s", r.Body)
	}
}

// A DID that was given up is no error in the result object, and still never 200.
func TestGetDeactivated(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{subjectURL: {err: statusError(410)}}}
	d := &did.Dereferencer{Resolver: did.NewResolver(did.Options{Web: web})}
	r := d.Get(t.Context(), subject, "", "")
	if r.Status != 410 || string(r.Body) != `{"didDocument":null,"didResolutionMetadata":{},"didDocumentMetadata":{"deactivated":true}}` {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	r = d.Get(t.Context(), subject+"%23k", "", "")
	if r.Status != 410 || string(r.Body) != `{"content":null,"dereferencingMetadata":{},"contentMetadata":{"deactivated":true}}` {
		t.Errorf("%d %s", r.Status, r.Body)
	}
	if r = d.Get(t.Context(), subject, "", "application/did"); r.Status != 410 || r.ContentType != "application/problem+json" {
		t.Errorf("%d %s", r.Status, r.Body)
	}
}

// Strangers learn nothing of what is behind the firewall from the ways in which a host
// cannot be reached.
func TestGetHidesCauses(t *testing.T) {
	web := &fakeWeb{pages: map[string]page{subjectURL: {err: errors.New("connection to 10.1.2.3 refused")}}}
	d := &did.Dereferencer{Resolver: did.NewResolver(did.Options{Web: web})}
	for _, accept := range []string{"", "application/did"} {
		r := d.Get(t.Context(), subject, "", accept)
		if r.Status != 500 || strings.Contains(string(r.Body), "10.1.2.3") || !strings.Contains(string(r.Body), "#INTERNAL_ERROR") {
			t.Errorf("%d %s", r.Status, r.Body)
		}
		if r.Err == nil || !strings.Contains(r.Err.Error(), "10.1.2.3") {
			t.Errorf("the log learns nothing either: %v", r.Err)
		}
	}
}
