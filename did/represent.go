package did

// The media types of a DID document's representations. DID Core 1.0 section 6 defines the
// first two; DID Resolution 1.0 and DID 1.1 have the third, which says nothing of JSON-LD.
const (
	MediaTypeJSONLD = "application/did+ld+json"
	MediaTypeJSON   = "application/did+json"
	MediaTypeDID    = "application/did"
)

// mediaType is JSON-LD if the document begins its @context as DID Core 1.0 section 6.3.1
// demands, else JSON.
func (d *Document) mediaType() string {
	first := d.fields["@context"]
	if list, ok := first.([]any); ok && len(list) > 0 {
		first = list[0]
	}
	if first == contextDID || first == contextDID11 {
		return MediaTypeJSONLD
	}
	return MediaTypeJSON
}

const contextDID11 = "https://www.w3.org/ns/did/v1.1"
