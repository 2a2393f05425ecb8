package main

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"
	"strings"

	"ihyid/credentials"
)

// maxResource bounds a file with a context or schema.
const maxResource = 1 << 20

// resource is a file that stands for what an address names, so that nothing has to be fetched: [URL=]FILE[@sha256:HEX].
type resource struct {
	url, file string
	digest    string // hex; empty if none was given
}

func parseResource(text string) (resource, error) {
	r := resource{file: text}
	if i := strings.LastIndex(text, "@sha256:"); i >= 0 {
		r.file, r.digest = text[:i], text[i+len("@sha256:"):]
		if b, err := hex.DecodeString(r.digest); err != nil || len(b) != sha256.Size || hex.EncodeToString(b) != r.digest {
			return r, usagef("%q: what stands after @sha256: must be 64 lower-case hex digits", text)
		}
	}
	// An address may hold = itself: the file is what stands after the last one.
	if i := strings.LastIndexByte(r.file, '='); i >= 0 {
		r.url, r.file = r.file[:i], r.file[i+1:]
		if r.url == "" {
			return r, usagef("%q: no URL stands before =", text)
		}
	}
	if r.file == "" {
		return r, usagef("%q: no file is named; the form is URL=FILE@sha256:HEX", text)
	}
	return r, nil
}

// read gives the file's bytes, if they have the digest.
func (r resource) read(dir string) ([]byte, error) {
	name := r.file
	if dir != "" && !filepath.IsAbs(name) {
		name = filepath.Join(dir, name)
	}
	text, err := readFile(name, maxResource)
	if err != nil {
		return nil, err
	}
	if sum := sha256.Sum256(text); r.digest != "" && hex.EncodeToString(sum[:]) != r.digest {
		return nil, fmt.Errorf("%s has the SHA-256 %x, not the one that was given: it is another file, or was changed", name, sum)
	}
	return text, nil
}

// readSuites reads the contexts and schemas that are configured for what is named in a command. One context may go without its address if document, which
// is about to be verified, names just one that is not known.
func readSuites(contexts, schemas []string, pinned bool, document []byte) (*credentials.Suites, error) {
	return readSuitesIn("", contexts, schemas, pinned, document)
}

// readSuitesIn does so with file names relative to a directory. Where pinned, every file needs a digest.
func readSuitesIn(dir string, contexts, schemas []string, pinned bool, document []byte) (*credentials.Suites, error) {
	o := credentials.SuitesOptions{Contexts: map[string][]byte{}, Schemas: map[string][]byte{}}
	for _, kind := range []struct {
		name  string
		given []string
		into  map[string][]byte
	}{{"context", contexts, o.Contexts}, {"schema", schemas, o.Schemas}} {
		for _, g := range kind.given {
			r, err := parseResource(g)
			if err != nil {
				return nil, err
			}
			if pinned && (r.digest == "" || r.url == "") {
				return nil, usagef("the %s %q needs its address and a digest: URL=FILE@sha256:HEX (sha256sum FILE tells it)", kind.name, g)
			}
			text, err := r.read(dir)
			if err != nil {
				return nil, fmt.Errorf("the %s %s: %w", kind.name, r.file, err)
			}
			if r.url == "" {
				unknown := credentials.UnknownContexts(document)
				if kind.name != "context" || len(unknown) != 1 || len(contexts) != 1 {
					return nil, usagef("which address does the %s %s stand for? Give it as URL=FILE", kind.name, r.file)
				}
				r.url = unknown[0]
			}
			if _, twice := kind.into[r.url]; twice {
				return nil, usagef("the %s %s is given twice", kind.name, r.url)
			}
			kind.into[r.url] = text
		}
	}
	suites, err := credentials.NewSuites(o)
	if err != nil {
		return nil, fmt.Errorf("what is configured beside the built-in contexts cannot be used: %w", err)
	}
	return suites, nil
}
