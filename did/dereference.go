package did

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// MediaTypeURIList is the media type of a list of service endpoints.
const MediaTypeURIList = "text/uri-list"

// Dereferencer has the functions of DID Resolution 1.0: [Dereferencer.Resolve] (section 4),
// [Dereferencer.Dereference] (section 5) and their HTTP binding, [Dereferencer.Get]
// (section 12.1). It is safe for concurrent use.
type Dereferencer struct {
	Resolver Resolver
	// History supplies old versions. If nil, to ask for one is [FeatureNotSupported].
	History History
}

// ResolveOptions are the options of DID Resolution 1.0 section 4.1.
type ResolveOptions struct {
	VersionID          string    // a version by its id
	VersionTime        time.Time // the version that was the latest at this time
	ExpandRelativeURLs bool
}

// Resolve resolves a DID with options.
func (d *Dereferencer) Resolve(ctx context.Context, did string, opts ResolveOptions) (*Resolution, error) {
	res, err := d.version(ctx, did, opts)
	if err != nil || !opts.ExpandRelativeURLs {
		return res, err
	}
	doc, err := res.Document.Expanded()
	if err != nil {
		return nil, err
	}
	expanded := *res // the versionId stays that of the document itself
	expanded.Document = doc
	return &expanded, nil
}

func (d *Dereferencer) version(ctx context.Context, did string, opts ResolveOptions) (*Resolution, error) {
	if opts.VersionID == "" && opts.VersionTime.IsZero() {
		return d.Resolver.Resolve(ctx, did)
	}
	if _, err := Parse(did); err != nil {
		return nil, err
	}
	if opts.VersionID != "" && !opts.VersionTime.IsZero() {
		return nil, &Error{Code: InvalidOptions, DID: did, Err: errors.New("versionId and versionTime exclude each other")}
	}
	if d.History == nil {
		return nil, &Error{Code: FeatureNotSupported, DID: did, Err: errors.New("old versions of documents are not kept here")}
	}
	var v *Version
	var err error
	if opts.VersionID != "" {
		v, err = d.History.Version(ctx, did, opts.VersionID)
	} else {
		v, err = d.History.VersionAt(ctx, did, opts.VersionTime)
	}
	if err != nil {
		return nil, err
	}
	return &Resolution{
		Document:         v.Document,
		Metadata:         ResolutionMetadata{ContentType: v.Document.MediaType()},
		DocumentMetadata: v.DocumentMetadata,
	}, nil
}

// DereferenceOptions are the options of DID Resolution 1.0 section 5.1.
type DereferenceOptions struct {
	// Accept is the media type wanted: "" or one of a DID document, or MediaTypeURIList for
	// the endpoints of services.
	Accept string
	// VerificationRelationship, if set, must list the verification method that the URL
	// stands for.
	VerificationRelationship string
}

// Resource is what a DID URL stands for.
type Resource struct {
	ContentType string
	Content     []byte // JSON or, for MediaTypeURIList, lines ended by CR LF
	URLs        []string
	// Document is the document that it was found in, and Method the verification method if
	// it is one.
	Document *Document
	Method   *VerificationMethod
	DocumentMetadata
}

// Dereference finds what a DID URL stands for: a document, a verification method or service
// (#fragment), or services (?service=ID, ?serviceType=TYPE), either as a document with only
// those or, with Accept MediaTypeURIList, as their endpoints, to which relativeRef and the
// fragment are applied. versionId and versionTime select an old version.
//
// relativeRef is resolved as RFC 3986 section 5 says (the example in DID Resolution section
// 5.5.2 appends instead). It must be relative and must not name another host.
//
// A parameter that is not known is [FeatureNotSupported]: to overlook one, such as hl, which
// asks for a check, would be to answer another question. One that comes twice is
// [InvalidDIDURL], a path [NotFound].
func (d *Dereferencer) Dereference(ctx context.Context, didURL string, opts DereferenceOptions) (*Resource, error) {
	u, err := ParseURL(didURL)
	if err != nil {
		return nil, err
	}
	r, err := d.dereference(ctx, u, opts)
	if err != nil {
		if _, ok := errors.AsType[*Error](err); !ok {
			err = &Error{Code: InternalError, DID: didURL, Err: err}
		}
		return nil, err
	}
	return r, nil
}

func (d *Dereferencer) dereference(ctx context.Context, u URL, opts DereferenceOptions) (*Resource, error) {
	fail := func(c Code, reason string) (*Resource, error) {
		return nil, &Error{Code: c, DID: u.String(), Err: errors.New(reason)}
	}
	params, err := parseParameters(u)
	if err != nil {
		return nil, err
	}
	if opts.VerificationRelationship != "" && !slices.Contains(relationships, opts.VerificationRelationship) {
		return fail(InvalidOptions, "a relationship that DID Core does not define")
	}
	res, err := d.version(ctx, u.DID.String(), params.version)
	if err != nil {
		return nil, err
	}
	if u.Path != "" {
		return fail(NotFound, "nothing is known here of paths in DID URLs")
	}
	doc := res.Document
	out := &Resource{Document: doc, DocumentMetadata: res.DocumentMetadata}
	if params.service == "" && params.serviceType == "" {
		if params.relativeRef != nil {
			return fail(InvalidDIDURL, "relativeRef without a service")
		}
		return fragment(u, out, nil, opts)
	}
	var selected []serviceEntry
	for _, s := range doc.services {
		if (params.service == "" || s.id == serviceID(doc, params.service)) &&
			(params.serviceType == "" || slices.Contains(s.types, params.serviceType)) {
			selected = append(selected, s)
		}
	}
	if opts.Accept != MediaTypeURIList {
		fields := maps.Clone(doc.fields)
		var list []any
		for _, s := range selected {
			list = append(list, s.fields)
		}
		delete(fields, "service")
		if len(list) > 0 {
			fields["service"] = list
		}
		return fragment(u, out, fields, opts)
	}
	if out.URLs, err = endpoints(u, selected, params.relativeRef); err != nil {
		return nil, err
	}
	if len(out.URLs) == 0 {
		return fail(NotFound, "no such service, or none with a URL")
	}
	out.ContentType = MediaTypeURIList
	out.Content = []byte(strings.Join(out.URLs, "\r\n") + "\r\n")
	return out, nil
}

// fragment takes the part of a document that the fragment names, or all of it (DID
// Resolution 1.0 section 5.4.2). filtered, if not nil, is the document with fewer services.
func fragment(u URL, out *Resource, filtered map[string]any, opts DereferenceOptions) (*Resource, error) {
	fail := func(c Code, reason string) (*Resource, error) {
		return nil, &Error{Code: c, DID: u.String(), Err: errors.New(reason)}
	}
	doc := out.Document
	out.ContentType = opts.Accept
	if out.ContentType == "" {
		out.ContentType = doc.MediaType()
	}
	// Also for a part: its representation is that of its document.
	if _, err := doc.Represent(out.ContentType); err != nil {
		return nil, err
	}
	var err error
	if !u.hasFragment {
		if opts.VerificationRelationship != "" {
			return fail(InvalidVerificationMethod, "the DID URL does not stand for a verification method")
		}
		if filtered != nil {
			if doc, err = fromFields(filtered); err != nil {
				return nil, err
			}
		}
		out.Content, err = doc.Represent(out.ContentType)
		return out, err
	}
	id := u.DID.String() + "#" + u.Fragment
	if m, ok := doc.byID[id]; ok {
		if rel := opts.VerificationRelationship; rel != "" && !doc.Authorizes(rel, id) {
			return fail(InvalidRelationship, "the document does not list the verification method under "+rel)
		}
		out.Method = m
		out.Content, err = doc.part(m.fields)
		return out, err
	}
	if opts.VerificationRelationship != "" {
		return fail(InvalidVerificationMethod, "the DID URL does not stand for a verification method of the document")
	}
	if filtered == nil {
		filtered = doc.fields
	}
	list, _ := filtered["service"].([]any)
	for _, e := range list {
		s, _ := e.(map[string]any)
		if sid, _ := s["id"].(string); doc.absolute(sid) == id {
			out.Content, err = doc.part(s)
			return out, err
		}
	}
	return fail(NotFound, "the document has no verification method or service of that id")
}

// serviceID completes the service parameter: an absolute URL, "#id" or "id".
func serviceID(doc *Document, s string) string {
	if strings.HasPrefix(s, "did:") {
		return s
	}
	return doc.ID() + "#" + strings.TrimPrefix(s, "#")
}

func endpoints(u URL, selected []serviceEntry, relativeRef *string) ([]string, error) {
	fail := func(reason string) ([]string, error) {
		return nil, &Error{Code: InvalidDIDURL, DID: u.String(), Err: errors.New(reason)}
	}
	var urls []string
	for _, s := range selected {
		for _, endpoint := range s.endpoints {
			base, err := url.Parse(endpoint)
			if err != nil {
				continue // not possible after parsing
			}
			if relativeRef != nil {
				ref, err := url.Parse(*relativeRef)
				if err != nil || ref.IsAbs() || ref.Host != "" || ref.User != nil || strings.HasPrefix(*relativeRef, "//") {
					return fail("relativeRef is not a reference relative to the service's own host")
				}
				if base.Opaque != "" {
					return fail("relativeRef to a service that is no hierarchical URL")
				}
				base = base.ResolveReference(ref)
			}
			if u.hasFragment {
				if base.Fragment != "" {
					return fail("a second fragment, beside that of the service's URL")
				}
				base.Fragment, base.RawFragment = decodeFragment(u.Fragment)
			}
			urls = append(urls, base.String())
		}
	}
	return urls, nil
}

func decodeFragment(s string) (fragment, raw string) {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return s, s
	}
	return plain, s
}

// parameters are the DID parameters of DID Resolution 1.0 section 3.
type parameters struct {
	service, serviceType string
	relativeRef          *string
	version              ResolveOptions
}

func parseParameters(u URL) (parameters, error) {
	var p parameters
	if !u.hasQuery && u.Query == "" {
		return p, nil
	}
	fail := func(c Code, reason string) (parameters, error) {
		return p, &Error{Code: c, DID: u.String(), Err: errors.New(reason)}
	}
	seen := map[string]bool{}
	for _, pair := range strings.Split(u.Query, "&") {
		name, raw, _ := strings.Cut(pair, "=")
		// Not form encoding: "+" is a plus sign.
		value, err := url.PathUnescape(raw)
		if err != nil {
			return fail(InvalidDIDURL, "a parameter is not valid percent-encoding")
		}
		if seen[name] {
			return fail(InvalidDIDURL, "a parameter comes twice")
		}
		seen[name] = true
		switch name {
		case "service":
			p.service = value
		case "serviceType":
			p.serviceType = value
		case "relativeRef":
			p.relativeRef = &value
			continue // may be empty
		case "versionId":
			p.version.VersionID = value
		case "versionTime":
			if p.version.VersionTime, err = parseVersionTime(value); err != nil {
				return fail(InvalidDIDURL, err.Error())
			}
		default:
			return fail(FeatureNotSupported, "a DID parameter that is not known here")
		}
		if value == "" {
			return fail(InvalidDIDURL, "a parameter is empty")
		}
	}
	return p, nil
}

func parseVersionTime(s string) (time.Time, error) {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("versionTime is not a date and time such as 2026-01-31T12:00:00Z")
	}
	return t, nil
}
