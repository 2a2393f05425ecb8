// Package contexts holds the JSON-LD contexts that credentials here are read with. They are embedded:
// a context is never fetched, since whoever answers for its address could then change what a signed
// credential says. README.md beside this file says where each comes from.
package contexts

import (
	"embed"
	"encoding/hex"
)

// The addresses of the embedded contexts.
const (
	CredentialsV2   = "https://www.w3.org/ns/credentials/v2"
	CredentialsV1   = "https://www.w3.org/2018/credentials/v1"
	DataIntegrityV2 = "https://w3id.org/security/data-integrity/v2"
	DataIntegrityV1 = "https://w3id.org/security/data-integrity/v1"
	MultikeyV1      = "https://w3id.org/security/multikey/v1"
	DIDV1           = "https://www.w3.org/ns/did/v1"
	ExamplesV2      = "https://www.w3.org/ns/credentials/examples/v2"
)

//go:embed *.jsonld
var files embed.FS

var names = map[string]string{
	CredentialsV2:   "credentials-v2.jsonld",
	CredentialsV1:   "credentials-v1.jsonld",
	DataIntegrityV2: "data-integrity-v2.jsonld",
	DataIntegrityV1: "data-integrity-v1.jsonld",
	MultikeyV1:      "multikey-v1.jsonld",
	DIDV1:           "did-v1.jsonld",
	ExamplesV2:      "examples-v2.jsonld",
}

// published are the SHA-256 digests that the specifications print of the documents at these addresses. The embedded
// copies are equal to those in meaning, not always in bytes.
var published = map[string]string{
	CredentialsV2:   "59955ced6697d61e03f2b2556febe5308ab16842846f5b586d7f1f7adec92734", // VC Data Model 2.0 appendix B.1
	CredentialsV1:   "ab4ddd9a531758807a79a5b450510d61ae8d147eab966cc9a200c07095b0cdcc", // VC Data Model 1.1 appendix B.1
	DataIntegrityV2: "67f21e6e33a6c14e5ccfd2fc7865f7474fb71a04af7e94136cb399dfac8ae8f4", // Data Integrity 1.0 section 2.4
	DataIntegrityV1: "b5d829bd09aa7c42abc6efa0c8ed7635313b5487f37ccfce3ecd149ca9418554",
	MultikeyV1:      "ba2c182de2d92f7e47184bcca8fcf0beaee6d3986c527bf664c195bbc7c58597", // the same
	DIDV1:           "4f3eae5568c9c5f036a082088f9e192019ee06faa78973c87ff91d5421b88dad", // DID Core 1.0 appendix B.1
}

// PublishedSHA256 gives the digest that is published of the document at a known address.
func PublishedSHA256(url string) ([]byte, bool) {
	text, ok := published[url]
	if !ok {
		return nil, false
	}
	b, err := hex.DecodeString(text)
	return b, err == nil
}

// All gives every embedded context document by its address.
func All() map[string][]byte {
	all := make(map[string][]byte, len(names))
	for url, name := range names {
		b, err := files.ReadFile(name)
		if err != nil {
			panic(err) // an embedded file cannot be missing
		}
		all[url] = b
	}
	return all
}
