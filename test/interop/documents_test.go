package interop

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"ihyid/credentials"
)

// maker makes random documents. The same seed makes the same ones.
type maker struct {
	*rand.Rand
	n     int
	alike bool // make lists with equal members, whose blank nodes look alike
}

func newMaker(seed uint64) *maker { return &maker{Rand: rand.New(rand.NewPCG(seed, 2019))} }

var terms = []credentials.Term{
	{Name: "text", Kind: credentials.Text}, {Name: "link", Kind: credentials.IRI}, {Name: "moment", Kind: credentials.DateTime},
	{Name: "Receipt", Kind: credentials.Class}, {Name: "Person", Kind: credentials.Class}, {Name: "ordered", Kind: credentials.List},
	{Name: "links", Kind: credentials.IRIList}, {Name: "part", Kind: credentials.Object}, {Name: "whole", Kind: credentials.Object},
	{Name: "blob", Kind: credentials.JSON},
}

// No alphabet here holds a character from U+E000 to U+FFFF: RDFC-1.0 sorts by code points, rdf-canonize 5.0 by
// UTF-16 code units, and the two differ where such a character meets one beyond the basic plane.
var alphabets = []string{
	"abcdefghijklmnopqrstuvwxyz0123456789 .,;:-_/", "\x01\x07\b\t\n\v\f\r\x1f\"\\\x7f'<>{}^`|", "éüßñøžđΩπЖщ",
	"محمدعليفاطمة", "日本語漢字", "😀🏽👩‍👧\u200d\u0301", "\u0080\u00a0\u2028\u3000\ud7ff",
}

func (m *maker) text() string {
	var b strings.Builder
	for range m.IntN(12) {
		a := []rune(alphabets[m.IntN(len(alphabets))])
		b.WriteRune(a[m.IntN(len(a))])
	}
	return b.String()
}

func (m *maker) iri() string {
	m.n++
	switch m.IntN(4) {
	case 0:
		return fmt.Sprintf("did:web:node-%d.example:path", m.n)
	case 1:
		return fmt.Sprintf("https://example.org/ünï/%d?q=a&b=%%20#frag", m.n)
	case 2:
		return fmt.Sprintf("urn:uuid:%08x-0000-4000-8000-%012x", m.Uint32(), m.n)
	}
	return "did:key:z" + fmt.Sprint(m.n)
}

func (m *maker) number() float64 {
	switch m.IntN(4) {
	case 0:
		return float64(m.IntN(1000))
	case 1:
		return -float64(m.Int64N(1 << 53))
	case 2:
		return math.Ldexp(float64(m.IntN(64)), -m.IntN(8))
	}
	// a decimal of a few digits, such as 84.647
	f, err := strconv.ParseFloat(fmt.Sprintf("%d.%03d", m.IntN(1000), m.IntN(1000)), 64)
	if err != nil {
		panic(err)
	}
	return f
}

func (m *maker) json(depth int) any {
	switch k := m.IntN(7); {
	case k == 0:
		return nil
	case k == 1:
		return m.IntN(2) == 0
	case k == 2:
		return m.number()
	case k == 3 || depth == 0:
		return m.text()
	case k == 4:
		list := []any{}
		for range m.IntN(4) {
			list = append(list, m.json(depth-1))
		}
		return list
	}
	o := object{}
	for range m.IntN(4) {
		o["k"+m.text()] = m.json(depth - 1)
	}
	return o
}

func (m *maker) date() string {
	zone := []string{"Z", "+00:00", "-03:30", "+14:00"}[m.IntN(4)]
	return fmt.Sprintf("20%02d-%02d-%02dT%02d:%02d:%02d%s%s", m.IntN(26), 1+m.IntN(12), 1+m.IntN(28), m.IntN(24), m.IntN(60), m.IntN(60),
		[]string{"", ".5", ".123456"}[m.IntN(3)], zone)
}

func (m *maker) strings(f func() string) []any {
	list := []any{}
	for range 1 + m.IntN(4) {
		list = append(list, f())
	}
	return list
}

// node makes an object with members in the terms above and in @vocab's names.
func (m *maker) node(depth int) object {
	o := object{}
	if m.IntN(2) == 0 {
		o["id"] = m.iri()
	}
	if m.IntN(3) == 0 {
		o["type"] = []any{[]string{"Person", "Receipt"}[m.IntN(2)]}
	}
	for range 1 + m.IntN(5) {
		switch m.IntN(12) {
		case 0:
			o["text"] = m.text()
		case 1:
			o["text"] = m.strings(m.text)
		case 2:
			o["link"] = m.iri()
		case 3:
			o["moment"] = m.date()
		case 4:
			list := m.strings(m.text)
			if m.alike {
				list = append(list, "same", "same")
			}
			o["ordered"] = list
		case 5:
			o["links"] = m.strings(m.iri)
		case 6:
			o["blob"] = m.json(3)
		case 7:
			o["open"] = m.number()
		case 8:
			o["open"] = []any{m.IntN(2) == 0, m.text(), object{"@value": m.text(), "@language": []string{"en", "en-US", "ar"}[m.IntN(3)]}}
		case 9:
			o["name"] = object{"@value": m.text(), "@language": "ar", "@direction": "rtl"}
		default:
			if depth > 0 {
				field := []string{"part", "whole"}[m.IntN(2)]
				list := []any{}
				for range 1 + m.IntN(3) {
					list = append(list, m.node(depth-1))
				}
				if o[field] = any(list); len(list) == 1 {
					o[field] = list[0]
				}
			}
		}
	}
	if len(o) == 0 || len(o) == 1 && o["id"] != nil {
		o["text"] = m.text()
	}
	return o
}

func contexts() []any {
	return []any{credentials.ContextV2, credentials.Context(terms...), object{"open": "https://vocab.example/open#"}}
}

func (m *maker) credential(issuer string) object {
	d := object{
		"@context":          contexts(),
		"type":              []any{"VerifiableCredential", "Receipt"},
		"issuer":            issuer,
		"credentialSubject": m.node(3),
	}
	if m.IntN(2) == 0 {
		d["id"] = m.iri()
	}
	if m.IntN(2) == 0 {
		d["validFrom"] = m.date()
	}
	if m.IntN(3) == 0 {
		d["validUntil"] = "2099-12-31T23:59:59Z"
	}
	if m.IntN(3) == 0 {
		d["issuer"] = object{"id": issuer, "name": m.text()}
	}
	if m.IntN(3) == 0 {
		d["credentialSubject"] = []any{m.node(2), m.node(2)}
	}
	if m.IntN(4) == 0 {
		d["evidence"] = object{"type": "Receipt", "text": m.text()}
	}
	if m.IntN(4) == 0 {
		d["description"] = []any{object{"@value": m.text(), "@language": "fr"}, object{"@value": m.text(), "@language": "en", "@direction": "ltr"}}
	}
	return d
}

func (m *maker) presentation(holder string, vcs ...any) object {
	d := object{
		"@context":             contexts(),
		"type":                 []any{"VerifiablePresentation"},
		"verifiableCredential": vcs,
	}
	if m.IntN(2) == 0 {
		d["holder"] = holder
	}
	if m.IntN(2) == 0 {
		d["id"] = m.iri()
	}
	return d
}
