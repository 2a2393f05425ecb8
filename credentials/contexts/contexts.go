// Package contexts holds the JSON-LD contexts that credentials here are read with. They are embedded:
// a context is never fetched, since whoever answers for its address could then change what a signed
// credential says. README.md beside this file says where each comes from.
package contexts

import "embed"

// The addresses of the embedded contexts.
const (
	CredentialsV2   = "https://www.w3.org/ns/credentials/v2"
	CredentialsV1   = "https://www.w3.org/2018/credentials/v1"
	DataIntegrityV2 = "https://w3id.org/security/data-integrity/v2"
	DataIntegrityV1 = "https://w3id.org/security/data-integrity/v1"
	MultikeyV1      = "https://w3id.org/security/multikey/v1"
	DIDV1           = "https://www.w3.org/ns/did/v1"
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
