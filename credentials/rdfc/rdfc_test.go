package rdfc

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestSuite runs the vectors of the W3C test suite of URDNA2015, which RDFC-1.0 keeps but for the
// escapes in canonical N-Quads. They come with the source of a module that the project needs anyway.
func TestSuite(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/piprate/json-gold").Output()
	dir := filepath.Join(strings.TrimSpace(string(out)), "ld", "testdata", "normalization")
	if err != nil {
		t.Skip("SKIPPED: the go command cannot say where the vectors are:", err)
	}
	inputs, err := filepath.Glob(filepath.Join(dir, "test*-in.nq"))
	if err != nil || len(inputs) < 60 {
		t.Skipf("SKIPPED: the vectors are not there: %d found, %v", len(inputs), err)
	}
	for _, in := range inputs {
		name := strings.TrimSuffix(filepath.Base(in), "-in.nq")
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(in)
			if err != nil {
				t.Fatal(err)
			}
			want, err := os.ReadFile(filepath.Join(dir, name+"-urdna2015.nq"))
			if err != nil {
				t.Fatal(err)
			}
			got, err := Canonicalize(t.Context(), mustParse(t, string(text)), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if name == "test060" {
				// N-Quads escapes: URDNA2015 wrote fewer than canonical N-Quads does
				if want, err = Canonicalize(t.Context(), mustParse(t, string(want)), Options{}); err != nil {
					t.Fatal(err)
				}
			}
			if string(got) != string(want) {
				t.Errorf("got\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// The example of RDFC-1.0 for the hash: the same dataset under SHA-384.
func TestHashes(t *testing.T) {
	quads := mustParse(t, `_:e0 <http://example.com/#p> "a" .
_:e1 <http://example.com/#p> "b" .
_:e0 <http://example.com/#q> _:e1 .`)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA384} {
		if _, err := Canonicalize(t.Context(), quads, Options{Hash: h}); err != nil {
			t.Error(err)
		}
	}
	if _, err := Canonicalize(t.Context(), quads, Options{Hash: crypto.SHA512}); !errors.Is(err, ErrHash) {
		t.Error(err)
	}
}

func TestEscapes(t *testing.T) {
	var in strings.Builder
	for r := range rune(0x20) {
		in.WriteRune(r)
	}
	in.WriteString("\"\\\x7f\u0080\ufffd\ufffe\uffff\U0001fffe é😀")
	q := Quad{Subject: Term{Kind: IRI, Value: "urn:s"}, Predicate: Term{Kind: IRI, Value: "urn:p"}, Object: Term{Kind: Literal, Value: in.String()}}
	got, err := Canonicalize(t.Context(), []Quad{q}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	want := `<urn:s> <urn:p> "\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007\b\t\n\u000B\f\r\u000E\u000F` +
		`\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017\u0018\u0019\u001A\u001B\u001C\u001D\u001E\u001F` +
		`\"\\\u007F` + "\u0080\ufffd" + `\uFFFE\uFFFF` + "\U0001fffe é😀\" .\n"
	if string(got) != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestRefusesWhatIsNoQuad(t *testing.T) {
	iri := func(s string) Term { return Term{Kind: IRI, Value: s} }
	lit := Term{Kind: Literal, Value: "x"}
	good := Quad{Subject: iri("urn:s"), Predicate: iri("urn:p"), Object: lit}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	good.Subject = iri("https://example.org/ünï/日本?q=%20#é")
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Quad){
		"literal subject":          func(q *Quad) { q.Subject = lit },
		"no subject":               func(q *Quad) { q.Subject = Term{} },
		"blank predicate":          func(q *Quad) { q.Predicate = Term{Kind: Blank, Value: "b"} },
		"no object":                func(q *Quad) { q.Object = Term{} },
		"literal graph":            func(q *Quad) { q.Graph = lit },
		"relative IRI":             func(q *Quad) { q.Predicate = iri("p") },
		"relative with slash":      func(q *Quad) { q.Predicate = iri("/a:b") },
		"empty scheme":             func(q *Quad) { q.Predicate = iri(":p") },
		"scheme begins with digit": func(q *Quad) { q.Predicate = iri("1a:p") },
		"space":                    func(q *Quad) { q.Predicate = iri("urn:a b") },
		"control":                  func(q *Quad) { q.Predicate = iri("urn:a\x01b") },
		"angle":                    func(q *Quad) { q.Subject = iri("urn:a>b") },
		"backslash":                func(q *Quad) { q.Subject = iri(`urn:a\b`) },
		"IRI not UTF-8":            func(q *Quad) { q.Subject = iri("urn:\xff") },
		"literal not UTF-8":        func(q *Quad) { q.Object.Value = "\xff" },
		"language":                 func(q *Quad) { q.Object.Language = "e n" },
		"language empty part":      func(q *Quad) { q.Object.Language = "en-" },
		"language too long":        func(q *Quad) { q.Object.Language = "abcdefghi" },
		"language and datatype":    func(q *Quad) { q.Object.Language, q.Object.Datatype = "en", "urn:d" },
		"langString without one":   func(q *Quad) { q.Object.Datatype = langString },
		"relative datatype":        func(q *Quad) { q.Object.Datatype = "d" },
		"blank without label":      func(q *Quad) { q.Object = Term{Kind: Blank} },
	} {
		q := good
		change(&q)
		if out, err := Canonicalize(t.Context(), []Quad{good, q}, Options{}); !errors.Is(err, ErrTerm) {
			t.Errorf("%s: %v, %s", name, err, out)
		}
	}
}

// clique is a poison dataset: n blank nodes, each pointing at every other.
func clique(n int) []Quad {
	var quads []Quad
	for i := range n {
		for j := range n {
			if i != j {
				quads = append(quads, Quad{Subject: Term{Kind: Blank, Value: fmt.Sprint("n", i)}, Predicate: Term{Kind: IRI, Value: "urn:p"},
					Object: Term{Kind: Blank, Value: fmt.Sprint("n", j)}})
			}
		}
	}
	return quads
}

// mesh is another: k rings of m nodes, joined crosswise.
func mesh(k, m int) []Quad {
	b := func(i, j int) Term { return Term{Kind: Blank, Value: fmt.Sprintf("m%d_%d", i, j)} }
	var quads []Quad
	for i := range k {
		for j := range m {
			quads = append(quads, Quad{Subject: b(i, j), Predicate: Term{Kind: IRI, Value: "urn:next"}, Object: b(i, (j+1)%m)},
				Quad{Subject: b(i, j), Predicate: Term{Kind: IRI, Value: "urn:side"}, Object: b((i+1)%k, j)})
		}
	}
	return quads
}

func TestPoisonIsRefused(t *testing.T) {
	for name, quads := range map[string][]Quad{"clique 10": clique(10), "clique 60": clique(60), "mesh": mesh(10, 10), "large mesh": mesh(40, 40), "ring": mesh(1, 3000)} {
		if _, err := Canonicalize(t.Context(), quads, Options{}); !errors.Is(err, ErrWork) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Canonicalize(ctx, clique(4), Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// Isomorphic datasets have one canonical form: whatever the labels and the order of the quads.
func TestRelabelling(t *testing.T) {
	iris := []string{"urn:a", "urn:b"}
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "nodes")
		term := func(r *rapid.T, what string, kinds int) Term {
			switch rapid.IntRange(0, kinds-1).Draw(r, what) {
			case 0, 1:
				return Term{Kind: Blank, Value: fmt.Sprint("b", rapid.IntRange(0, n-1).Draw(r, "blank"))}
			case 2:
				return Term{Kind: IRI, Value: rapid.SampledFrom(iris).Draw(r, "iri")}
			}
			return Term{Kind: Literal, Value: rapid.SampledFrom([]string{"x", "y"}).Draw(r, "literal")}
		}
		quad := rapid.Custom(func(r *rapid.T) Quad {
			q := Quad{Subject: term(r, "s", 3), Predicate: Term{Kind: IRI, Value: rapid.SampledFrom(iris).Draw(r, "p")}, Object: term(r, "o", 4)}
			if rapid.Bool().Draw(r, "named") {
				q.Graph = term(r, "g", 3)
			}
			return q
		})
		quads := rapid.SliceOfN(quad, 1, 8).Draw(t, "quads")
		hash := rapid.SampledFrom([]crypto.Hash{crypto.SHA256, crypto.SHA384}).Draw(t, "hash")
		want, err := Canonicalize(context.Background(), quads, Options{Hash: hash, MaxWork: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		names := rng.Perm(n)
		rename := func(x Term) Term {
			if x.Kind == Blank {
				var i int
				fmt.Sscanf(x.Value, "b%d", &i)
				x.Value = fmt.Sprint("z", names[i])
			}
			return x
		}
		other := make([]Quad, len(quads))
		for i, k := range rng.Perm(len(quads)) {
			q := quads[i]
			other[k] = Quad{rename(q.Subject), q.Predicate, rename(q.Object), rename(q.Graph)}
		}
		other = append(other, other[0])
		got, err := Canonicalize(context.Background(), other, Options{Hash: hash, MaxWork: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != string(want) {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
		// the canonical form of the canonical form is itself
		again, err := parseNQuads(string(want))
		if err != nil {
			t.Fatal(err)
		}
		if got, err = Canonicalize(context.Background(), again, Options{Hash: hash, MaxWork: 1 << 20}); err != nil || string(got) != string(want) {
			t.Fatalf("not stable: %v\n%s\nwant\n%s", err, got, want)
		}
	})
}

func FuzzCanonicalize(f *testing.F) {
	f.Add("_:a <urn:p> _:b .\n_:b <urn:p> _:a _:g .\n")
	f.Add("<urn:s> <urn:p> \"\\u0000\\n\"@en .\n")
	f.Add("<urn:s> <urn:p> \"1\"^^<urn:d> <urn:g> .\n")
	f.Fuzz(func(t *testing.T, text string) {
		quads, err := parseNQuads(text)
		if err != nil {
			return
		}
		out, err := Canonicalize(t.Context(), quads, Options{})
		if err != nil {
			return
		}
		back, err := parseNQuads(string(out))
		if err != nil {
			t.Fatalf("the canonical form does not parse: %v", err)
		}
		again, err := Canonicalize(t.Context(), back, Options{})
		if err != nil || string(again) != string(out) {
			t.Fatalf("not stable: %v\n%s\n%s", err, out, again)
		}
	})
}

func BenchmarkCredential(b *testing.B) {
	var quads []Quad
	for i := range 12 {
		quads = append(quads, Quad{Subject: Term{Kind: Blank, Value: fmt.Sprint("b", i%2)}, Predicate: Term{Kind: IRI, Value: fmt.Sprint("https://www.w3.org/2018/credentials#p", i)},
			Object: Term{Kind: Literal, Value: fmt.Sprint("value number ", i)}})
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Canonicalize(b.Context(), quads, Options{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkPoison tells how long it takes to refuse a poison dataset.
func BenchmarkPoison(b *testing.B) {
	for name, quads := range map[string][]Quad{"clique10": clique(10), "clique60": clique(60), "mesh10x10": mesh(10, 10), "mesh40x40": mesh(40, 40), "ring3000": mesh(1, 3000)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := Canonicalize(b.Context(), quads, Options{}); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}
