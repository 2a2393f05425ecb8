package exchange

import (
	"bytes"
	"cmp"
	"crypto/hpke"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
	"time"

	"ihyid/did"
	"ihyid/exchange/sealedfile"
	"ihyid/kms"
	"ihyid/store"
	"ihyid/store/jobs"
)

// export writes the file that is to be carried now.
func (tn *testNode) export(id string) []byte {
	tn.t.Helper()
	var out bytes.Buffer
	_, err := tn.ExportStep(tn.t.Context(), id, &out)
	must(tn.t, err)
	return out.Bytes()
}

// take imports a file and waits until what is in it was acted on.
func (tn *testNode) take(file []byte) StepFile {
	tn.t.Helper()
	f, err := tn.ImportStep(tn.t.Context(), bytes.NewReader(file))
	must(tn.t, err)
	if f.Job != "" {
		if job := tn.await(f.Job); job.State != jobs.Done {
			tn.t.Fatalf("file %d: %s %s", f.Number, job.State, job.Error)
		}
	}
	return f
}

// begin starts an exchange by file and waits until its first file is made.
func (tn *testNode) begin(protocol string, to *testNode) string {
	tn.t.Helper()
	return tn.beginAs(Request{Peer: to.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: "a test", ByFile: true})
}

func (tn *testNode) beginAs(r Request) string {
	tn.t.Helper()
	e, err := tn.StartExchange(tn.t.Context(), r)
	must(tn.t, err)
	if job := tn.await(e.Job); job.State != jobs.Done {
		tn.t.Fatalf("the job: %s %s", job.State, job.Error)
	}
	return e.ID
}

func (tn *testNode) exchange(id string) Exchange {
	tn.t.Helper()
	e, err := tn.Exchange(tn.t.Context(), id)
	must(tn.t, err)
	return e
}

// apart makes two registered nodes with contacts, and then takes the network away.
func apart(t *testing.T) (w *world, a, b *testNode) {
	w = newWorld(t)
	a, b = w.add("a.example"), w.add("b.example")
	a.importCSV(listA)
	b.importCSV(listB)
	befriend(a, b)
	w.offline.Store(true)
	return w, a, b
}

// facts are what an exchange came to at a node, but for what differs from one to the next.
func (tn *testNode) facts(id string) string {
	tn.t.Helper()
	matches, err := tn.Matches(tn.t.Context(), id)
	must(tn.t, err)
	for i := range matches {
		matches[i].Row = ""
	}
	slices.SortFunc(matches, func(a, b Match) int { return cmp.Compare(a.Contact, b.Contact) })
	raw, err := tn.Receipt(tn.t.Context(), id)
	must(tn.t, err)
	var f receiptFile
	must(tn.t, json.Unmarshal(raw, &f))
	st, err := readReceipt(f.Receipts[0])
	must(tn.t, err)
	other, err := readReceipt(f.Receipts[1])
	must(tn.t, err)
	if st != other {
		tn.t.Error("the two receipts do not state the same")
	}
	return fmt.Sprint(tn.exchange(id).State, matches, st.Matches, st.Possibles, st.InitiatorCount, st.ResponderCount, st.Evaluations, st.Tags, st.Protocol, st.Purpose)
}

// leftovers counts what must not outlast an exchange.
func (tn *testNode) leftovers() (spools int) {
	tn.t.Helper()
	must(tn.t, tn.store.View(tn.t.Context(), func(tx *store.Tx) error {
		all, err := tn.store.Spools(tx)
		spools = len(all)
		return err
	}))
	return spools
}

// The whole exchange without a network comes to the same as over one, though both nodes are stopped and started between all steps.
func TestByFile(t *testing.T) {
	for protocol, legs := range legs {
		t.Run(protocol, func(t *testing.T) {
			w, a, b := apart(t)
			w.offline.Store(false)
			over := a.runBy(protocol, b)
			want := []string{a.facts(over.ID), b.facts(over.ID)}
			w.offline.Store(true)
			id := a.beginAs(Request{Peer: b.DID(), Profile: "soundex/1", Protocol: protocol, Purpose: "a test", ByFile: true, Afresh: true})
			restart := func(tn *testNode) { tn.stop(); tn.start() }
			for i := range legs {
				restart(a)
				if c := a.exchange(id).Carry; c == nil || c.Export != 2*i+1 || c.Import != 2*i+2 && i < len(legs)-1 {
					t.Errorf("before file %d the initiator is told %+v", 2*i+1, c)
				}
				file := a.export(id)
				if f := b.take(file); f.Number != 2*i+1 || f.From != a.DID() || f.To != b.DID() || f.Last != (i == len(legs)-1) {
					t.Errorf("file %d is %+v", 2*i+1, f)
				}
				restart(b)
				if c := b.exchange(id).Carry; c == nil || c.Export != 2*i+2 {
					t.Errorf("before file %d the responder is told %+v", 2*i+2, c)
				}
				if i < len(legs)-1 { // the last is but a courtesy
					a.take(b.export(id))
				}
			}
			for i, tn := range []*testNode{a, b} {
				if got := tn.facts(id); protocol == ProtocolNoise && got != want[i] {
					t.Errorf("%s: by file %s, over the network %s", tn.host, got, want[i])
				} else if e := tn.exchange(id); e.State != StateDone || e.InCommon != 2 {
					t.Errorf("%s: %+v", tn.host, e)
				}
				if n := tn.leftovers(); n != 0 {
					t.Errorf("%s keeps the chunks of %d files", tn.host, n)
				}
			}
			last := b.export(id)
			a.take(last)
			if f := a.take(last); !f.Known {
				t.Error("the last file was taken twice")
			}
			if c := a.exchange(id).Carry; c.Import != 0 {
				t.Errorf("after the last file the initiator is told %+v", c)
			}
		})
	}
}

// open opens a file with the keys of its receiver.
func (tn *testNode) open(file []byte) (presentation []byte, chunks []sealedfile.Chunk) {
	tn.t.Helper()
	keys, err := tn.fileKeys(tn.t.Context())
	must(tn.t, err)
	r, err := sealedfile.NewReader(bytes.NewReader(file), 1<<30, keys)
	must(tn.t, err)
	for {
		c, err := r.Next()
		if err == io.EOF {
			return r.Presentation(), chunks
		}
		must(tn.t, err)
		c.Data = bytes.Clone(c.Data)
		chunks = append(chunks, c)
	}
}

// sealTo seals a file to a node.
func (tn *testNode) sealTo(presentation []byte, chunks []sealedfile.Chunk) []byte {
	tn.t.Helper()
	doc, err := did.ParseDocument(tn.DocumentJSON())
	must(tn.t, err)
	key, err := agreementKeyIn(doc, nil, time.Now())
	must(tn.t, err)
	return seal(tn.t, key, doc.Digest(), presentation, chunks)
}

func seal(t testing.TB, key hpke.PublicKey, document [32]byte, presentation []byte, chunks []sealedfile.Chunk) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := sealedfile.NewWriter(&out, key, document, presentation)
	must(t, err)
	for _, c := range chunks {
		must(t, w.Chunk(c.Set, c.Index, c.Data))
	}
	must(t, w.Close())
	return out.Bytes()
}

// refuses makes sure that a file is refused with a code, and that nothing has changed.
func (tn *testNode) refuses(what string, file []byte, want ...Code) {
	tn.t.Helper()
	before := tn.everything()
	_, err := tn.ImportStep(tn.t.Context(), bytes.NewReader(file))
	if err == nil || !slices.Contains(want, CodeOf(err)) {
		tn.t.Errorf("%s: %v (%q)", what, err, CodeOf(err))
	}
	if after := tn.everything(); after != before {
		tn.t.Errorf("%s was refused, and yet something changed:\n%s\n%s", what, before, after)
	}
}

// everything is what a node holds of its exchanges.
func (tn *testNode) everything() string {
	tn.t.Helper()
	var out bytes.Buffer
	must(tn.t, tn.store.View(tn.t.Context(), func(tx *store.Tx) error {
		for item, err := range tn.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			raw, _ := json.Marshal(item.Value)
			fmt.Fprintf(&out, "%s\n", raw)
		}
		for _, count := range []func(*store.Tx) (uint64, error){lenOf(tn.kept.letters), lenOf(tn.kept.chunks), lenOf(tn.kept.carried), lenOf(tn.kept.receipts)} {
			n, err := count(tx)
			if err != nil {
				return err
			}
			fmt.Fprintln(&out, n)
		}
		spools, err := tn.store.Spools(tx)
		fmt.Fprintln(&out, len(spools))
		return err
	}))
	return out.String()
}

func lenOf[T any](c *store.Collection[T]) func(*store.Tx) (uint64, error) {
	return func(tx *store.Tx) (uint64, error) {
		n, err := c.Len(tx)
		return uint64(n), err
	}
}

func TestBadFiles(t *testing.T) {
	w, a, b := apart(t)
	w.offline.Store(false)
	c := w.add("c.example")
	befriend(a, c)
	w.offline.Store(true)
	id := a.begin(ProtocolVOPRF, b)
	one := a.export(id)

	b.refuses("nothing", nil, CodeFile)
	b.refuses("something else", []byte("external_id,first_name\n"), CodeFile)
	b.refuses("a file cut short", one[:len(one)-1], CodeFile)
	b.refuses("a file cut short at its beginning", one[:100], CodeFile)
	b.refuses("a file with something behind it", append(bytes.Clone(one), 'x'), CodeFile)
	for _, at := range []int{3, 9, 500, 5000, len(one) / 2, len(one) - 1} {
		bad := bytes.Clone(one)
		bad[at] ^= 4
		b.refuses(fmt.Sprintf("a bit flipped in byte %d", at), bad, CodeFile)
	}
	c.refuses("a file for another node", one, CodeFile)
	a.refuses("the node's own file", one, CodeFile)

	presentation, chunks := b.open(one)
	if len(chunks) != 1 || chunks[0].Set != setBundle {
		t.Fatalf("the first file holds %d chunks", len(chunks))
	}
	change := func(at int, to byte) []sealedfile.Chunk {
		out := slices.Clone(chunks)
		out[0].Data = bytes.Clone(out[0].Data)
		out[0].Data[at] ^= to
		return out
	}
	b.refuses("a chunk that was changed before sealing", b.sealTo(presentation, change(7, 1)), CodeFile)
	b.refuses("a file without its chunk", b.sealTo(presentation, nil), CodeFile)
	b.refuses("a chunk twice", b.sealTo(presentation, append(slices.Clone(chunks), chunks...)), CodeFile)
	b.refuses("a chunk with another index", b.sealTo(presentation, []sealedfile.Chunk{{Set: setBundle, Index: 1, Data: chunks[0].Data}}), CodeFile)
	b.refuses("a chunk of another set", b.sealTo(presentation, []sealedfile.Chunk{{Set: setClaims, Data: chunks[0].Data}}), CodeFile)
	b.refuses("a chunk of another size", b.sealTo(presentation, []sealedfile.Chunk{{Set: setBundle, Data: chunks[0].Data[32:]}}), CodeFile)
	b.refuses("no JSON", b.sealTo([]byte("{"), chunks), CodeInvalid)
	b.refuses("a presentation that was changed", b.sealTo(bytes.Replace(presentation, []byte(`"number":"1"`), []byte(`"number":"3"`), 1), chunks), CodeFile, CodePresentation)
	b.refuses("a payload that was exchanged", b.sealTo(bytes.Replace(presentation, []byte(`"payload":"`), []byte(`"payload":"0`), 1), chunks), CodeFile, CodeInvalid)
	// Meant for another receiver: it opens, but is not addressed to who opens it.
	c.refuses("a file sealed anew to a third node", c.sealTo(presentation, chunks), CodePresentation, CodeUnknownPeer)

	b.take(one)
	two := b.export(id)
	b.refuses("the answer, at who made it", two, CodeFile)
	claims, _ := a.open(two)
	a.refuses("an answer without its chunks", a.sealTo(claims, nil), CodeFile)
	if f := b.take(one); !f.Known || b.exchange(id).Carry.Export != 2 {
		t.Errorf("the first file again: %+v", f)
	}
	again, _ := a.open(b.export(id))
	if !bytes.Equal(again, claims) {
		t.Error("the answer, exported again, says something else")
	}
	a.take(two)
	three := a.export(id)
	if f := a.take(two); !f.Known {
		t.Errorf("the second file again: %+v", f)
	}
	// A second exchange, of which the third file comes before the first.
	b.refuses("another exchange's file with this one's number", b.sealTo(bytes.ReplaceAll(presentation, []byte(id), []byte("00112233445566778899aabbccddeeff")), chunks), CodePresentation, CodeMismatch, CodeFile)
	b.take(three)
	a.take(b.export(id))
	b.take(a.export(id))
	for _, tn := range []*testNode{a, b} {
		if e := tn.exchange(id); e.State != StateDone || e.InCommon != 2 {
			t.Errorf("after all of it %s: %+v", tn.host, e)
		}
	}
}

// A file that comes before the one it follows is refused, and says which has to come first.
func TestFilesOutOfOrder(t *testing.T) {
	_, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	one := a.export(id)
	b.take(one)
	a.take(b.export(id))
	three := a.export(id)
	// b forgets: its machine was set up again from a copy of before.
	must(t, b.store.Update(t.Context(), func(tx *store.Tx) error {
		return errors.Join(b.kept.sessions.Delete(tx, []byte(id)), dropAll(tx, b.kept.carried, id+"/"), dropAll(tx, b.kept.letters, id+"/"))
	}))
	b.refuses("the third file before the first", three, CodeFile)
	b.take(one)
	b.refuses("a file that answers what this node does not say any more", three, CodePresentation, CodeChallenge)
}

// Keys may change between two steps; a file that was sealed to a version of the document that is no longer the newest is opened all the same.
func TestFilesAndKeys(t *testing.T) {
	w, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	one := a.export(id)
	w.offline.Store(false)
	_, err := b.RotateKey(t.Context(), kms.Authentication, RotateOptions{Overlap: time.Hour})
	must(t, err)
	b.take(one)
	a.take(b.export(id))
	_, err = a.RotateKey(t.Context(), kms.Authentication, RotateOptions{Overlap: time.Hour})
	must(t, err)
	b.take(a.export(id))
	w.offline.Store(true)
	a.take(b.export(id))
	b.take(a.export(id))
	if e := b.exchange(id); e.State != StateDone {
		t.Errorf("%+v", e)
	}
}

func TestFilesAge(t *testing.T) {
	_, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	one := a.export(id)
	day := int64(24 * time.Hour)
	for _, tn := range []*testNode{a, b} {
		tn.ahead.Store(10 * day)
	}
	later := a.export(id) // signed anew
	for _, tn := range []*testNode{a, b} {
		tn.ahead.Store(31 * day)
	}
	b.refuses("a file of a month ago", one, CodeFile, CodePresentation)
	b.take(later)
	a.take(b.export(id))
	if f := b.take(a.export(id)); f.Number != 3 {
		t.Errorf("%+v", f)
	}
}

// An exchange ends as it began.
func TestFilesAndNetwork(t *testing.T) {
	w, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	w.offline.Store(false)
	s, err := a.session(t.Context(), id)
	must(t, err)
	sent, err := a.keptLetter(t.Context(), s, kindOpening)
	must(t, err)
	b.take(a.export(id))
	_, _, err = a.converse(t.Context(), peerAddress{DID: b.DID(), Endpoint: "https://b.example/node"}, kindOpening, id, kindOpeningReply, sent.Credential)
	var p *PeerProblem
	if !errors.As(err, &p) || p.Type != string(CodeConflict) {
		t.Errorf("the opening of an exchange by file, over the network: %v", err)
	}
	over := a.runBy(ProtocolNoise, b)
	if _, err := a.ExportStep(t.Context(), over.ID, io.Discard); CodeOf(err) != CodeExchangeState {
		t.Errorf("the file of an exchange over the network: %v", err)
	}
	// A message that is good in a file is none over the network.
	presentation, _ := b.open(a.export(id))
	if _, err := b.Message(t.Context(), presentation); CodeOf(err) != CodeInvalid && CodeOf(err) != CodeUnsupported {
		t.Errorf("a file's presentation, over the network: %v", err)
	}
}

// The responder's operator is asked as ever.
func TestFilesWait(t *testing.T) {
	_, a, b := apart(t)
	b.stop()
	b.options = func(o *Options) { o.AskAlways = true }
	b.start()
	id := a.begin(ProtocolVOPRF, b)
	f, err := b.ImportStep(t.Context(), bytes.NewReader(a.export(id)))
	must(t, err)
	if e := b.exchange(id); e.State != StateWaiting || e.Carry.Export != 0 {
		t.Fatalf("%+v", e)
	}
	if _, err := b.ExportStep(t.Context(), id, io.Discard); CodeOf(err) != CodeExchangeState {
		t.Error(err)
	}
	_, err = b.ApproveExchange(t.Context(), id)
	must(t, err)
	b.await(f.Job)
	a.take(b.export(id))
}

// Later exchanges build on earlier ones, whichever way those went.
func TestFilesIncrement(t *testing.T) {
	_, a, b := apart(t)
	through := func(id string) {
		for range legs[ProtocolVOPRF] {
			b.take(a.export(id))
			a.take(b.export(id))
		}
	}
	through(a.begin(ProtocolVOPRF, b))
	const more = "N1,Rania,Nasser,Huda,Sami,1999-01-02\n"
	a.importCSV(header + more)
	b.importCSV(header + more)
	id := a.begin(ProtocolVOPRF, b)
	if s, err := a.session(t.Context(), id); err != nil || s.Base == "" {
		t.Errorf("the second exchange builds on nothing (%v)", err)
	}
	through(id)
	if e := b.exchange(id); e.InCommon != 3 {
		t.Errorf("%+v", e)
	}
}

// A node that is stopped in the middle of its work on a file goes on when it is started.
func TestFilesStopped(t *testing.T) {
	_, a, b := apart(t)
	id := a.begin(ProtocolVOPRF, b)
	for i := range legs[ProtocolVOPRF] {
		for j, tn := range []*testNode{b, a} {
			from := []*testNode{a, b}[j]
			f, err := tn.ImportStep(t.Context(), bytes.NewReader(from.export(id)))
			must(t, err)
			tn.stop()
			tn.start()
			if f.Job == "" {
				continue
			}
			if job := tn.await(f.Job); job.State != jobs.Done {
				t.Fatalf("leg %d: %s %s", i, job.State, job.Error)
			}
		}
	}
	for _, tn := range []*testNode{a, b} {
		if e := tn.exchange(id); e.State != StateDone || e.InCommon != 2 {
			t.Errorf("%s: %+v", tn.host, e)
		}
	}
}
