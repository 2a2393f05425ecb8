package e2e

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/csv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"ihyid/exchange/register"
	"ihyid/test/harness"
	"ihyid/test/lists"
)

// needles are personal data to be looked for in bytes. Words of fewer than six bytes would be found in encrypted data by
// chance: those are looked for as JSON would have them.
type needles struct {
	byStart map[uint64][]string
	likely  [1 << 16]bool // by the first two bytes
	count   int
}

func newNeedles(words map[string]bool) *needles {
	n := &needles{byStart: map[uint64][]string{}}
	for w := range words {
		switch {
		case len(w) < 3:
			continue
		case len(w) < 6:
			w = jsonValue(w)
		}
		start := startOf([]byte(w))
		n.byStart[start] = append(n.byStart[start], w)
		n.likely[uint16(start>>32)] = true
		n.count++
	}
	return n
}

func alphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

func jsonValue(w string) string { return `:"` + w + `"` }

// startOf packs the first six bytes.
func startOf(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(b))<<16 | uint64(b[4])<<8 | uint64(b[5])
}

// in gives a needle that is in the text, and where; "" if none is. In text that people can read, hex and base64 among it, a short
// one counts only where it stands by itself.
func (n *needles) in(text []byte) (string, int) {
	readable := utf8.Valid(text)
	for i := 0; i+6 <= len(text); i++ {
		if !n.likely[uint16(text[i])<<8|uint16(text[i+1])] {
			continue
		}
		for _, w := range n.byStart[startOf(text[i:])] {
			if !bytes.HasPrefix(text[i:], []byte(w)) {
				continue
			}
			end := i + len(w)
			if readable && len(w) < 9 && (i > 0 && alphanumeric(text[i-1]) || end < len(text) && alphanumeric(text[end])) {
				continue
			}
			return w, i
		}
	}
	return "", 0
}

// personal collects the personal data of a list: names, dates, phones, places and numbers, in the forms in which they might be kept.
func personal(t *testing.T, list []byte) map[string]bool {
	t.Helper()
	rows, err := csv.NewReader(bytes.NewReader(list)).ReadAll()
	harness.Check(t, err)
	words := map[string]bool{}
	for _, row := range rows[1:] {
		for i, cell := range row {
			switch rows[0][i] {
			case "sex":
			case "date_of_birth":
				words[cell] = true
				words["-"+strings.ReplaceAll(cell, "-", "")] = true // as in a phonetic id
			default:
				words[cell] = true
				for w := range strings.FieldsSeq(cell) {
					words[w] = true
				}
			}
		}
	}
	delete(words, "")
	return words
}

// files gives every regular file below a directory.
func files(t *testing.T, dir string) map[string][]byte {
	t.Helper()
	all := map[string][]byte{}
	harness.Check(t, filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		all[path], err = os.ReadFile(path)
		return err
	}))
	return all
}

// TestNothingInTheClear imports lists, runs exchanges, leaves an upload half way, and then looks for all that was in the lists in all
// that the nodes have written: database, spool, keys, logs, and in what travelled.
func TestNothingInTheClear(t *testing.T) {
	t.Parallel()
	net := harness.New(t, program)
	a := net.Add("alpha", "--log-level", "debug")
	b, line := behind(t, net, "beta", "--log-level", "debug", "--log-format", "json")
	population, err := lists.New(lists.Options{N: 3000, Seed: 23, Overlap: .3, Organisations: []lists.Organisation{
		{Name: "a", Prefix: "ALPHA-", Arabic: .3}, {Name: "b", Prefix: "BETA-", Arabic: .5, French: .7},
	}})
	harness.Check(t, err)
	words := map[string]bool{}
	var csvs [][]byte
	for i, n := range []*harness.Node{a, b} {
		var list bytes.Buffer
		harness.Check(t, population.WriteCSV(&list, i))
		for w := range personal(t, list.Bytes()) {
			words[w] = true
		}
		csvs = append(csvs, list.Bytes())
		bad := append(list.Bytes(), "Zubaydah\xff,"...)
		job, err := n.Import(append(bad, strings.Repeat(",", 3)+"\n"...))
		harness.Check(t, err)
		if j := n.Job(job.ID); j.State != "done" {
			t.Fatal(j.Error)
		}
	}
	words["Zubaydah"] = true
	look := newNeedles(words)
	t.Logf("looking for %d words", look.count)
	if look.count < 3000 {
		t.Fatal("too few")
	}
	for _, text := range csvs {
		if w, _ := look.in(text); w == "" {
			t.Fatal("the search finds nothing in the list itself")
		}
	}
	for w := range words { // and it finds each of them, wherever it stands
		if len(w) >= 3 {
			if got, _ := look.in([]byte("\x00\x01" + jsonValue(w))); got == "" {
				t.Fatal("the search does not find a word")
			}
		}
	}

	harness.Befriend(a, b)
	done(t, a, b, begin(t, a, b))
	done(t, b, a, begin(t, b, a))
	if out, errs, status := a.Run("contacts", "duplicates"); status != 0 {
		t.Fatal(out, errs)
	}
	// Requests that fail, too, may hold what must not be logged.
	for name := range words {
		a.Run("peers", "show", "did:web:"+name)
		a.Run("exchange", "run", "--peer", b.DID, "--profile", name, "--purpose", name)
		break
	}
	// An upload that stops half way is on the disk, sealed.
	r, w, err := os.Pipe()
	harness.Check(t, err)
	defer r.Close()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		_, _ = a.Client.ImportContacts(ctx, r, register.ImportOptions{})
	}()
	go func() { _, _ = io.Copy(w, bytes.NewReader(bytes.Repeat(csvs[0], 4))) }()
	var spooled int
	a.Until("the upload to be on the disk", func(context.Context) (bool, error) {
		spooled = 0
		parts, err := filepath.Glob(filepath.Join(a.Data, "*spool*", "*"))
		for _, p := range parts {
			if info, err := os.Stat(p); err == nil {
				spooled += int(info.Size())
			}
		}
		return spooled >= 256<<10, err
	})
	a.Kill()
	w.Close() // net/http waits for the end of a body, even if nobody is left to take it
	<-gone
	b.Stop()

	size, seen := 0, []string{}
	for _, n := range []*harness.Node{a, b} {
		all := files(t, n.Data)
		log, err := os.ReadFile(n.LogFile())
		harness.Check(t, err)
		if len(log) == 0 {
			t.Errorf("%s has logged nothing", n.Name)
		}
		all[n.LogFile()] = log
		for word := range bytes.FieldsFuncSeq(log, func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) && r != '-' }) {
			if len(word) >= 3 && words[string(word)] {
				t.Errorf("the log of %s holds %q", n.Name, word)
			}
		}
		for path, text := range all {
			size += len(text)
			seen = append(seen, filepath.Base(path))
			if word, at := look.in(text); word != "" {
				t.Errorf("%s holds %q at %d", path, word, at)
			}
		}
	}
	slices.Sort(seen)
	t.Logf("in %d bytes of %v", size, seen)
	if size < 1<<20 || !slices.Contains(seen, "ihyid.db") || !slices.Contains(seen, "keys") {
		t.Errorf("that is not all that a node keeps: %d bytes of %v", size, seen)
	}
	line.mu.Lock()
	defer line.mu.Unlock()
	for _, p := range line.seen {
		if word, _ := look.in(p.Body); word != "" {
			t.Errorf("%q went over the wire in %s", word, p.Kind)
		}
	}
	if len(line.seen) == 0 {
		t.Error("nothing went over the wire")
	}

}
