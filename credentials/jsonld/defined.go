package jsonld

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"maps"
	"slices"
	"strconv"

	"ihyid/credentials/ijson"
)

// maxShapes is how many shapes of documents are remembered.
const maxShapes = 512

// shape is what the meaning of a document's terms depends on: its contexts, its member names, its types and its nesting, with no other value.
type shape [sha256.Size]byte

// Defined reports an error if the contexts of a document leave a term or a type of it without a meaning, or are not known here. It is for suites that sign the JSON
// itself, and asks less than Quads: null, empty lists and relative identifiers may stand in such documents. The answer for a shape of
// document is remembered, since issuers make many documents of few shapes.
func (p *Processor) Defined(ctx context.Context, document map[string]any) error {
	key, err := shapeOf(document)
	if err != nil {
		return refuse("the document has no canonical form: %v", err)
	}
	p.mu.Lock()
	_, known := p.shapes[key]
	p.mu.Unlock()
	if known {
		return nil
	}
	if err := p.inspect(document); err != nil { // the limits, and what is not understood
		return err
	}
	n := 0
	if _, err := p.Quads(ctx, skeleton(document, &n).(map[string]any)); err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.shapes) >= maxShapes {
		for k := range p.shapes { // any one: this bounds memory, no more
			delete(p.shapes, k)
			break
		}
	}
	p.shapes[key] = struct{}{}
	return nil
}

// Terms gives the IRIs of all properties and types that a document uses, whatever names it has for them, those of embedded credentials included.
func (p *Processor) Terms(ctx context.Context, document map[string]any) ([]string, error) {
	if err := p.inspect(document); err != nil {
		return nil, err
	}
	n := 0
	quads, err := p.Quads(ctx, skeleton(document, &n).(map[string]any))
	if err != nil {
		return nil, err
	}
	found := map[string]struct{}{}
	for _, q := range quads {
		found[q.Predicate.Value] = struct{}{}
		if q.Predicate.Value == rdfType {
			found[q.Object.Value] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(found)), nil
}

// skeleton is a document of the same shape that RDF can state, whatever its values; null becomes a value too. It must depend on the shape alone.
func skeleton(v any, n *int) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			e := v[k]
			switch k {
			case "@context", "type", "@type":
				out[k] = e
			case "@language":
				out[k] = "en"
			case "@direction":
				out[k] = "ltr"
			default:
				out[k] = skeleton(e, n)
			}
		}
		if len(out) == 0 {
			out["id"] = fresh(n)
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, e := range v {
			out = append(out, skeleton(e, n))
		}
		if len(out) == 0 {
			out = append(out, fresh(n))
		}
		return out
	}
	return fresh(n)
}

// fresh is a value that can be text and identifier.
func fresh(n *int) string {
	*n++
	return "urn:ihyid:any:" + strconv.Itoa(*n)
}

// shapeOf is the digest of a document's shape: every part is written with its kind and the number of its parts, so that no two shapes are written alike.
func shapeOf(document map[string]any) (shape, error) {
	w := &shapeWriter{buffer: make([]byte, 0, 2048)}
	err := w.value(document)
	return sha256.Sum256(w.buffer), err
}

type shapeWriter struct{ buffer []byte }

func (w *shapeWriter) text(s string) {
	w.buffer = append(binary.AppendUvarint(w.buffer, uint64(len(s))), s...)
}

func (w *shapeWriter) value(v any) (err error) {
	switch v := v.(type) {
	case map[string]any:
		w.buffer = binary.AppendUvarint(append(w.buffer, '{'), uint64(len(v)))
		for _, k := range slices.Sorted(maps.Keys(v)) {
			w.text(k)
			switch k {
			case "@context", "type", "@type":
				var b []byte
				if b, err = ijson.Canonical(v[k]); err != nil {
					return err
				}
				w.text(string(b))
			default:
				if err := w.value(v[k]); err != nil {
					return err
				}
			}
		}
	case []any:
		w.buffer = binary.AppendUvarint(append(w.buffer, '['), uint64(len(v)))
		for _, e := range v {
			if err := w.value(e); err != nil {
				return err
			}
		}
	case nil:
		w.buffer = append(w.buffer, '0')
	default:
		w.buffer = append(w.buffer, '.')
	}
	return nil
}
