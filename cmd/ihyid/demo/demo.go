package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"ihyid/did"
	"ihyid/examples"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

// Options steer a demonstration.
type Options struct {
	Program  string   // the ihyid program to run the nodes with
	Dir      string   // where files are left; "" makes a temporary directory, removed at the end
	Keep     bool     // leave the nodes running until ctx ends
	InitArgs []string // further flags of `ihyid init`
	Profile  string   // matching profile
	KMS      string   // where the keys are: "" or "file", "pkcs11" (a SoftHSM token for each node)
	// Protocols are the matching protocols by which every two nodes exchange, one after the other; all must find the same.
	Protocols []string
	Proof     string // how the nodes secure evidence: rdfc, jcs, jose; "": rdfc

	Out io.Writer // the story, for people; nil for none
}

// Result is what a demonstration found.
type Result struct {
	OK               bool         `json:"ok"`
	Dir              string       `json:"dir,omitempty"`
	Profile          string       `json:"profile"`
	KMS              string       `json:"kms"`
	Nodes            []NodeResult `json:"nodes"`
	Pairs            []PairResult `json:"pairs"`
	ReceiptsVerified int          `json:"receipts_verified"`
	TamperedRefused  bool         `json:"tampered_refused"`
	Wrong            []string     `json:"wrong,omitempty"` // what is off
	Seconds          float64      `json:"seconds"`
}

// NodeResult is one organisation.
type NodeResult struct {
	Organisation string `json:"organisation"`
	DID          string `json:"did"`
	Address      string `json:"address"`
	Contacts     int    `json:"contacts"`
	Duplicates   int    `json:"possible_duplicates"`
}

// PairResult is what two organisations found by one protocol.
type PairResult struct {
	A         string  `json:"a"`
	B         string  `json:"b"`
	Protocol  string  `json:"protocol"`
	InCommon  int     `json:"in_common"` // of the contacts of A
	Possible  int     `json:"possible"`
	True      int     `json:"true"`      // pairs of the same person in the truth file
	Recall    float64 `json:"recall"`    // of the true pairs, how many were found
	Precision float64 `json:"precision"` // of the contacts in common, how many truly are
	Exchange  string  `json:"exchange"`
	Seconds   float64 `json:"seconds"`
}

type demo struct {
	o       Options
	dir     string
	nodes   []*node
	truth   truth
	result  Result
	started time.Time
	warned  map[string]bool // by protocol: what is to be said of it has been said
}

// Run shows the demonstration. It returns an error only where it could not be shown; Result.OK says whether all was right.
func Run(ctx context.Context, o Options) (_ *Result, err error) {
	if o.Out == nil {
		o.Out = io.Discard
	}
	d := &demo{o: o, dir: o.Dir, started: time.Now(), warned: map[string]bool{}}
	if d.dir == "" {
		if d.dir, err = os.MkdirTemp("", "ihyid-demo-"); err != nil {
			return nil, err
		}
		defer os.RemoveAll(d.dir)
	} else if err := emptyDir(d.dir); err != nil {
		return nil, err
	} else {
		d.result.Dir = d.dir
	}
	defer func() { err = errors.Join(err, d.stop()) }()
	d.result.Profile, d.result.KMS = o.Profile, o.KMS
	if o.KMS == "" {
		d.result.KMS = "file"
	}
	for _, step := range []func(context.Context) error{
		d.start, d.importLists, d.registerPairs, d.exchangeAll, d.verifyReceipts, d.tamper,
	} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	d.result.OK = len(d.result.Wrong) == 0
	d.result.Seconds = time.Since(d.started).Seconds()
	d.conclude()
	if o.Keep {
		d.stay(ctx)
	}
	return &d.result, nil
}

// emptyDir makes the directory, and refuses one that holds anything.
func emptyDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	if len(entries) > 0 {
		return fmt.Errorf("%s is not empty; give a new or an empty directory", dir)
	}
	return nil
}

func (d *demo) say(format string, args ...any) { fmt.Fprintf(d.o.Out, format+"\n", args...) }

func (d *demo) wrong(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	d.result.Wrong = append(d.result.Wrong, text)
	d.say("  WRONG: %s", text)
}

func (d *demo) start(ctx context.Context) (err error) {
	if d.truth, err = readTruth(d.o.Profile); err != nil {
		return fmt.Errorf("reading the truth file: %w", err)
	}
	d.say("1. Three organisations start a node each, with its own keys and its own name (DID).")
	if d.o.KMS == "pkcs11" {
		d.say("   The keys are made in a token of the HSM (SoftHSM) each, and never leave it.")
	}
	if err := d.startNodes(ctx); err != nil {
		return err
	}
	for _, n := range d.nodes {
		d.say("   %-16s %s", n.org.Name, n.did)
	}
	return nil
}

func (d *demo) importLists(ctx context.Context) error {
	d.say("\n2. Each imports the list of people that it serves. The lists stay where they are, encrypted.")
	for _, n := range d.nodes {
		file, err := n.org.List()
		if err != nil {
			return err
		}
		job, err := n.client.ImportContacts(ctx, bytes.NewReader(file), register.ImportOptions{})
		if err == nil {
			job, err = n.client.WatchJob(ctx, job.ID, nil)
		}
		if err == nil && job.State != "done" {
			err = errors.New(job.Error)
		}
		if err != nil {
			return fmt.Errorf("importing the list of %s: %w", n.org.Name, err)
		}
		var got struct {
			Created    int `json:"created"`
			Rejected   int `json:"rejected"`
			Duplicates int `json:"duplicates"`
			Possible   int `json:"possible_duplicates"`
		}
		if err := json.Unmarshal(job.Result, &got); err != nil {
			return err
		}
		d.say("   %-16s %d contacts, of whom %d may be registered twice", n.org.Name, got.Created, got.Possible)
		if got.Rejected > 0 || got.Created+got.Duplicates != n.org.Contacts {
			d.wrong("%s: %d rows were rejected, %d contacts of %d are there", n.org.Name, got.Rejected, got.Created+got.Duplicates, n.org.Contacts)
		}
		d.result.Nodes = append(d.result.Nodes, NodeResult{
			Organisation: n.org.Name, DID: n.did, Address: n.address(), Contacts: got.Created, Duplicates: got.Possible,
		})
	}
	return nil
}

// eachPair calls fn for every two nodes.
func (d *demo) eachPair(fn func(a, b *node) error) error {
	for i, a := range d.nodes {
		for _, b := range d.nodes[i+1:] {
			if err := fn(a, b); err != nil {
				return fmt.Errorf("%s and %s: %w", a.org.Name, b.org.Name, err)
			}
		}
	}
	return nil
}

func organisation(o examples.Organisation) exchange.Organisation {
	return exchange.Organisation{Name: o.Name, RegistrationNumber: o.RegistrationNumber, Country: o.Country}
}

func (d *demo) registerPairs(ctx context.Context) error {
	d.say("\n3. Every two register each other: one asks by DID and says whom it expects there; the other approves. Then their\n   administrators compare a fingerprint, as by telephone, and each confirms the other's keys.")
	return d.eachPair(func(a, b *node) error {
		if _, err := a.client.AddPeer(ctx, b.did, organisation(b.org)); err != nil {
			return err
		}
		if _, err := b.client.ApprovePeer(ctx, a.did); err != nil {
			return err
		}
		err := until(ctx, 30*time.Second, func() (bool, error) {
			p, err := a.client.Peer(ctx, b.did)
			return p.State == exchange.PeerApproved, err
		})
		if err != nil {
			return fmt.Errorf("waiting for the approval: %w", err)
		}
		seen, err := a.client.Fingerprint(ctx, b.did)
		if err != nil {
			return err
		}
		read, err := b.client.Fingerprint(ctx, a.did)
		if err != nil {
			return err
		}
		if seen.Fingerprint != read.Fingerprint {
			d.wrong("%s and %s see different fingerprints", a.org.Name, b.org.Name)
			return nil
		}
		if _, err := a.client.ConfirmPeer(ctx, b.did, read.Fingerprint); err != nil {
			return err
		}
		if _, err := b.client.ConfirmPeer(ctx, a.did, seen.Fingerprint); err != nil {
			return err
		}
		d.say("   %s ↔ %s: approved and confirmed on both sides (%s)", a.org.Name, b.org.Name, seen.Fingerprint)
		return nil
	})
}

// until asks again and again, more and more slowly.
func until(ctx context.Context, limit time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, 500*time.Millisecond) {
		ok, err := done()
		if err != nil || ok {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
	}
}

func (d *demo) exchangeAll(ctx context.Context) error {
	d.say("\n4. Every two find out which of their contacts the other serves too. No name, parent or birth date leaves a node:")
	d.say("   what travels are blinded or keyed digests under the matching profile %q, in signed presentations.", d.o.Profile)
	return d.eachPair(func(a, b *node) error {
		var first *found
		for _, protocol := range d.o.Protocols {
			f, err := d.exchange(ctx, protocol, a, b)
			if err != nil {
				return fmt.Errorf("by %s: %w", protocol, err)
			}
			if first == nil {
				first = f
			} else if !first.equal(f) {
				d.wrong("%s and %s: %s finds other pairs than %s", a.org.Name, b.org.Name, protocol, d.o.Protocols[0])
			}
		}
		return nil
	})
}

// found is what an exchange found on both sides: of every pair the own contact, the tier and the keys. The rows are left out, for they are
// made up anew for every exchange.
type found [2][]string

func newFound(sides ...[]exchange.Match) *found {
	var f found
	for i, side := range sides {
		for _, m := range side {
			f[i] = append(f[i], fmt.Sprint(m.ExternalID, m.Tier, m.Keys))
		}
		slices.Sort(f[i])
	}
	return &f
}

func (f *found) equal(g *found) bool { return slices.Equal(f[0], g[0]) && slices.Equal(f[1], g[1]) }

// warnings are what is to be said of a protocol.
var warnings = map[string]string{
	exchange.ProtocolNoise: "   (noise, for comparison only: whoever holds such a bundle can guess names and dates at leisure.)",
}

func (d *demo) exchange(ctx context.Context, protocol string, a, b *node) (*found, error) {
	if w := warnings[protocol]; w != "" && !d.warned[protocol] {
		d.say("%s", w)
		d.warned[protocol] = true
	}
	begun := time.Now()
	e, err := a.client.StartExchange(ctx, exchange.Request{Peer: b.did, Profile: d.o.Profile, Protocol: protocol, Purpose: "Demonstration: who is served by both?"})
	if err != nil {
		return nil, err
	}
	if _, err := a.client.WatchJob(ctx, e.Job, nil); err != nil {
		return nil, err
	}
	seconds := time.Since(begun).Seconds()
	if e, err = a.client.Exchange(ctx, e.ID); err != nil {
		return nil, err
	}
	if e.State != exchange.StateDone {
		return nil, fmt.Errorf("the exchange ended as %s: %s", e.State, e.Error)
	}
	mine, err := a.client.Matches(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	theirs, err := b.client.Matches(ctx, e.ID)
	if err != nil {
		return nil, err
	}
	p := d.truth.judge(a.org.ID, b.org.ID, mine, theirs, d.wrong)
	p.A, p.B, p.Protocol, p.InCommon, p.Possible, p.Exchange, p.Seconds = a.org.Name, b.org.Name, protocol, e.InCommon, e.Possible, e.ID, seconds
	d.result.Pairs = append(d.result.Pairs, p)
	d.say("   %s ↔ %s by %s: %d in common, %d possible, in %.2f s (the lists share %d people: found %.0f %%, wrong %.1f %%)",
		a.org.Name, b.org.Name, protocol, e.InCommon, e.Possible, seconds, p.True, 100*p.Recall, 100*(1-p.Precision))
	return newFound(mine, theirs), d.leavePresentations(ctx, e.ID, a, b)
}

// leavePresentations writes what each side received, as files.
func (d *demo) leavePresentations(ctx context.Context, id string, nodes ...*node) error {
	for _, n := range nodes {
		all, err := n.client.Presentations(ctx, id)
		if err != nil {
			return err
		}
		dir := filepath.Join(d.dir, "presentations", id, "received-by-"+n.org.ID)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return err
		}
		for kind, vp := range all {
			if err := os.WriteFile(filepath.Join(dir, kind+".json"), vp, 0o600); err != nil {
				return err
			}
		}
	}
	return nil
}

// verifyReceipts does what an auditor would: with the receipts and the DID documents, and without a node.
func (d *demo) verifyReceipts(ctx context.Context) error {
	d.say("\n5. Both sides of every exchange signed the same receipt. An auditor verifies each, without any node:")
	docs := filepath.Join(d.dir, "did-docs")
	receipts := filepath.Join(d.dir, "receipts")
	if err := errors.Join(os.MkdirAll(docs, 0o700), os.MkdirAll(receipts, 0o700)); err != nil {
		return err
	}
	for _, n := range d.nodes {
		doc, err := n.client.Document(ctx)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(docs, n.org.ID+".json"), doc, 0o600); err != nil {
			return err
		}
	}
	for _, p := range d.result.Pairs {
		n := d.node(p.A)
		file, err := n.client.Receipt(ctx, p.Exchange)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(receipts, p.Exchange+".json"), file, 0o600); err != nil {
			return err
		}
		other, err := d.node(p.B).client.Receipt(ctx, p.Exchange)
		if err != nil {
			return err
		}
		if !bytes.Equal(file, other) {
			d.wrong("%s and %s hold different receipts of their exchange", p.A, p.B)
		}
		report, err := d.verify(ctx, file)
		if err != nil {
			return err
		}
		if !report.Passed() {
			d.wrong("the receipt of %s and %s does not verify: %s", p.A, p.B, firstFailure(report))
			continue
		}
		d.result.ReceiptsVerified++
		d.say("   %s ↔ %s: good (%d checks)", p.A, p.B, len(report.Checks))
	}
	return nil
}

func (d *demo) node(name string) *node {
	for _, n := range d.nodes {
		if n.org.Name == name {
			return n
		}
	}
	return nil
}

func (d *demo) verify(ctx context.Context, file []byte) (*exchange.ReceiptReport, error) {
	var docs []*did.Document
	entries, err := filepath.Glob(filepath.Join(d.dir, "did-docs", "*.json"))
	if err != nil {
		return nil, err
	}
	for _, name := range entries {
		raw, err := os.ReadFile(name)
		if err != nil {
			return nil, err
		}
		doc, err := did.ParseDocument(raw)
		if err != nil {
			return nil, err
		}
		docs = append(docs, doc)
	}
	return exchange.VerifyReceipt(ctx, file, exchange.VerifyReceiptOptions{Documents: docs}), nil
}

func firstFailure(r *exchange.ReceiptReport) string {
	for _, c := range r.Checks {
		if c.Outcome == "failed" {
			return c.Name + ": " + c.Reason
		}
	}
	return ""
}

var tokens = regexp.MustCompile(`(vc\+jwt,[\w-]+\.)([\w-]+)(\.[\w-]+")`)

// forge makes a receipt say that ten times as many matched, also where it stands in tokens.
func forge(file []byte, matches string) []byte {
	raise := func(text []byte, space string) []byte {
		return bytes.ReplaceAll(text, []byte(`"matches":`+space+`"`+matches+`"`), []byte(`"matches":`+space+`"`+matches+`0"`))
	}
	return tokens.ReplaceAllFunc(raise(file, " "), func(token []byte) []byte {
		part := tokens.FindSubmatch(token)
		payload, err := base64.RawURLEncoding.DecodeString(string(part[2]))
		if err != nil {
			return token
		}
		forged := base64.RawURLEncoding.EncodeToString(raise(payload, ""))
		return slices.Concat(part[1], []byte(forged), part[3])
	})
}

// tamper makes one receipt say that more matched than did, on both sides.
func (d *demo) tamper(ctx context.Context) error {
	if len(d.result.Pairs) == 0 {
		return errors.New("there is no receipt to tamper with")
	}
	p := d.result.Pairs[0]
	file, err := os.ReadFile(filepath.Join(d.dir, "receipts", p.Exchange+".json"))
	if err != nil {
		return err
	}
	report, err := d.verify(ctx, file)
	if err != nil {
		return err
	}
	if report.Statement == nil {
		return errors.New("a receipt without a statement")
	}
	forged := forge(file, report.Statement.Matches)
	if bytes.Equal(forged, file) {
		return errors.New("the receipt could not be tampered with: it does not state its matches where expected")
	}
	dir := filepath.Join(d.dir, "tampered")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, p.Exchange+".json"), forged, 0o600); err != nil {
		return err
	}
	if report, err = d.verify(ctx, forged); err != nil {
		return err
	}
	d.result.TamperedRefused = !report.Passed()
	d.say("\n6. One receipt is tampered with: it now claims ten times as many matches.")
	if !d.result.TamperedRefused {
		d.wrong("the tampered receipt was accepted")
		return nil
	}
	d.say("   Refused, as it must be: %s", firstFailure(report))
	return nil
}

func (d *demo) conclude() {
	if !d.result.OK {
		d.say("\nSomething is off: %s", strings.Join(d.result.Wrong, "; "))
		return
	}
	d.say("\nAll is as it should be: %d exchanges, %d receipts verified, the tampered one refused, in %.1f s.",
		len(d.result.Pairs), d.result.ReceiptsVerified, d.result.Seconds)
	if d.result.Dir != "" {
		d.say("Receipts, DID documents and presentations are in %s; try:\n  ihyid receipts verify %s --did-docs %s",
			d.dir, filepath.Join(d.dir, "receipts", d.result.Pairs[0].Exchange+".json"), filepath.Join(d.dir, "did-docs"))
	}
}

// stay leaves the nodes running until the caller has had enough.
func (d *demo) stay(ctx context.Context) {
	d.say("\nThe nodes go on until you press Ctrl-C:")
	for _, n := range d.nodes {
		d.say("  %-16s %s   ihyid peers list --data %s", n.org.Name, n.address(), n.data)
	}
	<-ctx.Done()
}
