package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

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
