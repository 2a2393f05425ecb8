package jsonld

import (
	"fmt"
	"strings"

	"ihyid/credentials/rdfc"
)

// inspect walks an object before it is expanded, and refuses what is too large or not understood here.
func (p *Processor) inspect(object map[string]any) error {
	w := &inspector{p: p}
	w.values = contextCheck{values: p.limits.MaxContextValues, reference: func(url string) error {
		if _, ok := p.remote[url]; !ok {
			return fmt.Errorf("%w: %s", ErrUnknownContext, url)
		}
		return nil
	}}
	return w.object(object)
}

type inspector struct {
	p                          *Processor
	objects, scalars, contexts int
	values                     contextCheck
}

func (w *inspector) value(v any) error {
	switch v := v.(type) {
	case map[string]any:
		return w.object(v)
	case []any:
		for _, e := range v {
			if err := w.value(e); err != nil {
				return err
			}
		}
	default:
		return w.scalar()
	}
	return nil
}

func (w *inspector) scalar() error {
	if w.scalars++; w.scalars > w.p.limits.MaxScalars {
		return refuse("more than %d values", w.p.limits.MaxScalars)
	}
	return nil
}

func (w *inspector) object(m map[string]any) error {
	if w.objects++; w.objects > w.p.limits.MaxObjects {
		return refuse("more than %d objects", w.p.limits.MaxObjects)
	}
	_, isValue := m["@value"]
	for k, v := range m {
		if !strings.HasPrefix(k, "@") {
			if err := w.value(v); err != nil {
				return err
			}
			continue
		}
		switch {
		case k == "@context":
			if w.contexts++; w.contexts > w.p.limits.MaxContexts {
				return refuse("@context stands in more than %d places", w.p.limits.MaxContexts)
			}
			if err := w.values.context(v, 0); err != nil {
				return fmt.Errorf("@context: %w", err)
			}
		case k == "@value", k == "@list", k == "@set":
			if err := w.value(v); err != nil {
				return err
			}
		case isValue && (k == "@type" || k == "@language" || k == "@direction"):
			if s, ok := v.(string); !ok || s == "" {
				return refuse("%s is not a non-empty string", k)
			}
		case k == "@id", k == "@type":
			return refuse("%s is written %s here", k, k[1:])
		default:
			return refuse("a key that begins with @ is not known here")
		}
	}
	return nil
}

// contextCheck holds contexts to what is understood here. Those inside documents may do less than those
// that the configuration vouches for.
type contextCheck struct {
	trusted   bool
	values    int                    // how many more are allowed
	reference func(url string) error // what to do at the address of another context
}

// maxContextDepth bounds contexts inside the terms of contexts.
const maxContextDepth = 16

func (c *contextCheck) spend() error {
	if c.values--; c.values < 0 {
		return refuse("the contexts are too large")
	}
	return nil
}

func (c *contextCheck) context(v any, depth int) error {
	if err := c.spend(); err != nil {
		return err
	}
	if depth > maxContextDepth {
		return refuse("contexts within contexts too deep")
	}
	switch v := v.(type) {
	case string:
		return c.reference(v)
	case []any:
		for _, e := range v {
			if _, nested := e.([]any); nested {
				return refuse("a list within a list of contexts")
			}
			if err := c.context(e, depth+1); err != nil {
				return err
			}
		}
		return nil
	case map[string]any:
		return c.definitions(v, depth)
	case nil:
		if c.trusted {
			return nil
		}
		return refuse("a null context")
	}
	return refuse("a context is neither an address nor an object")
}

func (c *contextCheck) definitions(m map[string]any, depth int) error {
	for k, v := range m {
		if err := c.spend(); err != nil {
			return err
		}
		ok := true
		switch k {
		case "@version":
			ok = v == 1.1
		case "@vocab":
			s, isString := v.(string)
			ok = isString && rdfc.CheckIRI(s) == nil
		case "@language", "@direction":
			s, isString := v.(string)
			ok = isString && s != ""
		case "@protected":
			_, ok = v.(bool)
		case "":
			return refuse("an empty term")
		default:
			if k[0] == '@' {
				return refuse("%s in a context is not known here", printable(k))
			}
			if err := c.term(k, v, depth); err != nil {
				return err
			}
		}
		if !ok {
			return refuse("%s in a context is not of the right form", k)
		}
	}
	return nil
}

// printable keeps keywords that others define out of errors unless they look like keywords.
func printable(k string) string {
	if len(k) > 20 || strings.ContainsFunc(k[1:], func(r rune) bool { return r < 'a' || r > 'z' }) {
		return "a keyword"
	}
	return k
}

func (c *contextCheck) term(name string, v any, depth int) error {
	switch v := v.(type) {
	case string:
		return checkMapping(v)
	case map[string]any:
		for k, e := range v {
			if err := c.spend(); err != nil {
				return err
			}
			if err := c.entry(k, e, depth); err != nil {
				return err
			}
		}
		return nil
	case nil:
		// Undefining a term would free a protected one for redefinition.
		return refuse("a term is set to null")
	}
	return refuse("a term is neither an IRI nor an object")
}

// checkMapping checks what a term stands for: an IRI in some form, or the two keywords that are given
// other names in credentials.
func checkMapping(s string) error {
	if s == "" || s[0] == '@' && s != "@id" && s != "@type" {
		return refuse("a term stands for a keyword other than @id and @type, or for nothing")
	}
	if strings.HasPrefix(s, "_:") {
		return refuse("a term stands for a blank node")
	}
	return nil
}

func (c *contextCheck) entry(k string, v any, depth int) error {
	ok := true
	switch k {
	case "@id":
		s, isString := v.(string)
		if !isString {
			return refuse("@id of a term is not a string")
		}
		return checkMapping(s)
	case "@type":
		s, isString := v.(string)
		ok = isString && s != "" && !strings.HasPrefix(s, "_:")
	case "@container":
		list, isList := v.([]any)
		if !isList {
			list = []any{v}
		}
		for _, e := range list {
			switch e {
			case "@list", "@set", "@language", "@graph":
			case "@index", "@id", "@type":
				return refuse("a container by index, id or type")
			default:
				ok = false
			}
		}
	case "@language", "@direction":
		_, ok = v.(string)
		ok = ok || v == nil
	case "@protected", "@prefix":
		_, ok = v.(bool)
	case "@context":
		return c.context(v, depth+1)
	case "@reverse", "@nest", "@index":
		return refuse("%s in a context is not known here", k)
	default:
		return refuse("a term definition has an entry that is not known here")
	}
	if !ok {
		return refuse("%s of a term is not of the right form", k)
	}
	return nil
}
