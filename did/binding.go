package did

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// The media types of the result objects of DID Resolution 1.0 sections 9 and 10.
const (
	MediaTypeResolution    = "application/did-resolution"
	MediaTypeDereferencing = "application/did-url-dereferencing"

	mediaTypeJSONPlain = "application/json"
	mediaTypeProblem   = "application/problem+json"
)

// Response is an HTTP response to be sent as it is, with "Vary: Accept".
type Response struct {
	Status      int
	ContentType string // "" with an empty Body
	Location    string // with status 303
	Body        []byte
	// Err is why the request failed, for the log. The body says less where the cause would
	// tell a stranger about this node's network.
	Err error
}

// Get answers GET /1.0/identifiers/{identifier}?query with an Accept header: the HTTP(S)
// binding of DID Resolution 1.0 section 12.1. Of the request it needs
//
//   - identifier: the path after /1.0/identifiers/ as it was sent, not decoded
//     ([url.URL.EscapedPath]);
//   - query: the raw query, without "?";
//   - accept: the Accept header, its lines joined by commas.
//
// A DID yields by default (and for application/did-resolution or application/json) the
// resolution result, or its document alone for application/did, application/did+ld+json or
// application/did+json. A DID URL yields the dereferencing result (by default, for
// application/did-url-dereferencing or application/json), the bare resource for one of a
// document's media types, or a redirection to a service (303) for text/uri-list.
//
// The identifier may be written in two ways. Literally, did:example:123?service=files: then
// the query belongs to the DID URL. Or percent-encoded as one path segment,
// did%3Aexample%3A123 (or with only "#", "?", "/" and "%" encoded): then it is decoded once,
// and the query holds options: versionId, versionTime, expandRelativeUrls,
// verificationRelationship. An option that is not known, noCache included, is
// [FeatureNotSupported].
func (d *Dereferencer) Get(ctx context.Context, identifier, query, accept string) Response {
	text, options, err := splitRequest(identifier, query)
	if err != nil {
		return problem(&Error{Code: InvalidDIDURL, Err: err})
	}
	if strings.ContainsAny(text, "/?#") {
		return d.getURL(ctx, text, options, accept)
	}
	return d.getDID(ctx, text, options, accept)
}

func splitRequest(identifier, query string) (text string, options url.Values, err error) {
	literal := strings.HasPrefix(identifier, "did:")
	if literal {
		upper := strings.ToUpper(identifier)
		for _, enc := range []string{"%25", "%23", "%3F", "%2F"} {
			// No DID of the methods here has these; a client that encodes them means
			// the characters.
			literal = literal && !strings.Contains(upper, enc)
		}
	}
	if literal {
		if query != "" {
			identifier += "?" + query
		}
		return identifier, nil, nil
	}
	if text, err = url.PathUnescape(identifier); err != nil {
		return "", nil, errors.New("the identifier is not valid percent-encoding")
	}
	if options, err = url.ParseQuery(query); err != nil {
		return "", nil, errors.New("the query cannot be read")
	}
	return text, options, nil
}

// errorObject is the error of a result's metadata, in the form of RFC 9457.
type errorObject struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status,omitempty"`
	Detail string `json:"detail,omitempty"`
}

// describe makes the error object of err. The cause of an internal error stays inside: it
// may name addresses behind the firewall.
func describe(err error) *errorObject {
	code := CodeOf(err)
	o := &errorObject{Type: code.URI(), Title: code.Title()}
	if code != InternalError {
		if e, ok := errors.AsType[*Error](err); ok && e.Err != nil {
			o.Detail = e.Err.Error()
		}
	}
	return o
}

func problem(err error) Response {
	o := describe(err)
	o.Status = CodeOf(err).HTTPStatus()
	return respond(o.Status, mediaTypeProblem, o, err)
}

func respond(status int, contentType string, v any, err error) Response {
	body, merr := marshal(v)
	if merr != nil { // only strings, and JSON that was parsed
		return Response{Status: http.StatusInternalServerError, Err: merr}
	}
	return Response{Status: status, ContentType: contentType, Body: body, Err: err}
}

// resultMetadata is didResolutionMetadata and dereferencingMetadata.
type resultMetadata struct {
	ContentType string       `json:"contentType,omitempty"`
	Retrieved   string       `json:"retrieved,omitempty"`
	Error       *errorObject `json:"error,omitempty"`
}

// documentMetadata is didDocumentMetadata and contentMetadata.
type documentMetadata struct {
	Created       string `json:"created,omitempty"`
	Updated       string `json:"updated,omitempty"`
	Deactivated   bool   `json:"deactivated,omitempty"`
	NextUpdate    string `json:"nextUpdate,omitempty"`
	VersionID     string `json:"versionId,omitempty"`
	NextVersionID string `json:"nextVersionId,omitempty"`
}

func (m DocumentMetadata) forJSON() documentMetadata {
	return documentMetadata{
		Created: formatTime(m.Created), Updated: formatTime(m.Updated), Deactivated: m.Deactivated,
		NextUpdate: formatTime(m.NextUpdate), VersionID: m.VersionID, NextVersionID: m.NextVersionID,
	}
}

// formatTime writes a time as DID Resolution 1.0 section 3.1 has it: UTC, whole seconds.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02T15:04:05Z")
}

var documentOffers = []string{MediaTypeDID, MediaTypeJSONLD, MediaTypeJSON}

func (d *Dereferencer) getDID(ctx context.Context, did string, options url.Values, accept string) Response {
	typ, err := negotiate(accept, append([]string{MediaTypeResolution, mediaTypeJSONPlain}, documentOffers...))
	if err != nil {
		return problem(&Error{Code: InvalidOptions, Err: err})
	}
	if typ == "" {
		return problem(&Error{Code: RepresentationNotSupported, Err: errors.New("application/did-resolution, application/did, application/did+ld+json and application/did+json can be had")})
	}
	whole := typ == MediaTypeResolution || typ == mediaTypeJSONPlain
	var res *Resolution
	opts, _, err := parseOptions(options, false)
	if err == nil {
		res, err = d.Resolve(ctx, did, opts)
	}
	var body []byte
	if err == nil && !whole {
		body, err = res.Document.Represent(typ)
	}
	switch {
	case !whole && err != nil:
		return problem(err)
	case !whole:
		return Response{Status: http.StatusOK, ContentType: typ, Body: body}
	}
	type result struct {
		Document         json.RawMessage  `json:"didDocument"`
		Metadata         resultMetadata   `json:"didResolutionMetadata"`
		DocumentMetadata documentMetadata `json:"didDocumentMetadata"`
	}
	out := result{Document: json.RawMessage("null")}
	switch {
	case CodeOf(err) == Deactivated:
		// Not an error of resolution: section 4.4, step 5.
		out.DocumentMetadata.Deactivated = true
	case err != nil:
		out.Metadata.Error = describe(err)
	default:
		out.Document = res.Document.raw
		out.Metadata = resultMetadata{ContentType: res.Metadata.ContentType, Retrieved: formatTime(res.Metadata.Retrieved)}
		out.DocumentMetadata = res.DocumentMetadata.forJSON()
	}
	status := http.StatusOK
	if err != nil {
		status = CodeOf(err).HTTPStatus()
	}
	return respond(status, typ, out, err)
}

func (d *Dereferencer) getURL(ctx context.Context, didURL string, options url.Values, accept string) Response {
	offers := append([]string{MediaTypeDereferencing, mediaTypeJSONPlain}, append(documentOffers, MediaTypeURIList)...)
	typ, err := negotiate(accept, offers)
	if err != nil {
		return problem(&Error{Code: InvalidOptions, Err: err})
	}
	if typ == "" {
		return problem(&Error{Code: RepresentationNotSupported, Err: errors.New("application/did-url-dereferencing, application/did, application/did+ld+json, application/did+json and text/uri-list can be had")})
	}
	whole := typ == MediaTypeDereferencing || typ == mediaTypeJSONPlain
	var res *Resource
	_, opts, err := parseOptions(options, true)
	if err == nil {
		if !whole {
			opts.Accept = typ
		}
		res, err = d.Dereference(ctx, didURL, opts)
	}
	switch {
	case !whole && err != nil:
		return problem(err)
	case !whole && res.ContentType == MediaTypeURIList:
		return Response{Status: http.StatusSeeOther, Location: res.URLs[0]}
	case !whole:
		return Response{Status: http.StatusOK, ContentType: res.ContentType, Body: res.Content}
	}
	type result struct {
		Content         json.RawMessage  `json:"content"`
		Metadata        resultMetadata   `json:"dereferencingMetadata"`
		ContentMetadata documentMetadata `json:"contentMetadata"`
	}
	out := result{Content: json.RawMessage("null")}
	switch {
	case CodeOf(err) == Deactivated:
		out.ContentMetadata.Deactivated = true
	case err != nil:
		out.Metadata.Error = describe(err)
	default:
		out.Content = res.Content
		out.Metadata.ContentType = res.ContentType
		out.ContentMetadata = res.DocumentMetadata.forJSON()
	}
	status := http.StatusOK
	if err != nil {
		status = CodeOf(err).HTTPStatus()
	}
	return respond(status, typ, out, err)
}

// parseOptions reads the options of a request: those of resolution for a DID, those of
// dereferencing for a DID URL.
func parseOptions(q url.Values, dereferencing bool) (ResolveOptions, DereferenceOptions, error) {
	var r ResolveOptions
	var d DereferenceOptions
	for name, values := range q {
		if len(values) != 1 || values[0] == "" {
			return r, d, &Error{Code: InvalidOptions, Err: errors.New("an option is empty or comes twice")}
		}
		v := values[0]
		var err error
		switch {
		case name == "versionId" && !dereferencing:
			r.VersionID = v
		case name == "versionTime" && !dereferencing:
			r.VersionTime, err = parseVersionTime(v)
		case name == "expandRelativeUrls" && !dereferencing:
			if r.ExpandRelativeURLs = v == "true"; v != "true" && v != "false" {
				err = errors.New("expandRelativeUrls is neither true nor false")
			}
		case name == "verificationRelationship" && dereferencing:
			d.VerificationRelationship = v
		default:
			return r, d, &Error{Code: FeatureNotSupported, Err: errors.New("an option that is not known here")}
		}
		if err != nil {
			return r, d, &Error{Code: InvalidOptions, Err: err}
		}
	}
	return r, d, nil
}
