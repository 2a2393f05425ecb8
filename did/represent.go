package did

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
)

// The media types of a DID document's representations. DID Core 1.0 section 6 defines the
// first two; DID Resolution 1.0 and DID 1.1 have the third, which covers both.
const (
	MediaTypeJSONLD = "application/did+ld+json"
	MediaTypeJSON   = "application/did+json"
	MediaTypeDID    = "application/did"
)

const contextDID11 = "https://www.w3.org/ns/did/v1.1"

// MediaType returns the media type to serve [Document.Bytes] as: JSON-LD if the document
// begins its @context as DID Core 1.0 section 6.3.1 demands, else JSON.
func (d *Document) MediaType() string {
	if d.hasContext() {
		return MediaTypeJSONLD
	}
	return MediaTypeJSON
}

func (d *Document) hasContext() bool {
	first := d.fields["@context"]
	if list, ok := first.([]any); ok && len(list) > 0 {
		first = list[0]
	}
	return first == contextDID || first == contextDID11
}

// Represent returns the document in one of the representations. JSON and application/did are
// the document's own bytes: both take a document with or without @context, and ignore what
// they do not know (DID Core 1.0 section 6.2). JSON-LD is too, unless the document has no
// @context at all; then the one of DID 1.0 is put in, as section 6.3.1 asks of a producer,
// and the rest is the same. A document that begins its @context with something else cannot be
// JSON-LD, and any other media type not either: an [*Error] of code
// [RepresentationNotSupported].
func (d *Document) Represent(mediaType string) ([]byte, error) {
	unsupported := func(reason string) ([]byte, error) {
		return nil, &Error{Code: RepresentationNotSupported, DID: d.ID(), Err: errors.New(reason)}
	}
	switch mediaType {
	case MediaTypeJSON, MediaTypeDID:
		return d.Bytes(), nil
	case MediaTypeJSONLD:
		if d.hasContext() {
			return d.Bytes(), nil
		}
		if _, other := d.fields["@context"]; other {
			return unsupported("the document's @context does not begin with that of DID documents, so it is no JSON-LD")
		}
		fields := maps.Clone(d.fields)
		fields["@context"] = contextDID
		return marshal(fields)
	}
	return unsupported("not a representation of DID documents")
}

// Expanded returns the document with all relative DID URLs made absolute (the
// expandRelativeUrls option of DID Resolution 1.0 section 4.1). Where there is one, it is
// another document, with another digest.
func (d *Document) Expanded() (*Document, error) {
	fields := maps.Clone(d.fields)
	for _, name := range append([]string{"verificationMethod", "service"}, relationships...) {
		list, ok := fields[name].([]any)
		if !ok {
			continue
		}
		out := make([]any, len(list))
		for i, e := range list {
			switch e := e.(type) {
			case string:
				out[i] = d.absolute(e)
			case map[string]any:
				out[i] = d.withAbsoluteID(e)
			}
		}
		fields[name] = out
	}
	return fromFields(fields)
}

// withAbsoluteID copies a method or service.
func (d *Document) withAbsoluteID(fields map[string]any) map[string]any {
	out := maps.Clone(fields)
	if id, ok := out["id"].(string); ok {
		out["id"] = d.absolute(id)
	}
	return out
}

// part returns a method or service as a document of its own: with the @context that gives
// its terms their meaning, and an absolute id.
func (d *Document) part(fields map[string]any) ([]byte, error) {
	out := d.withAbsoluteID(fields)
	if c, ok := d.fields["@context"]; ok {
		out["@context"] = c
	}
	return marshal(out)
}

// marshal writes JSON without the escaping for HTML and without a final line feed.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}
