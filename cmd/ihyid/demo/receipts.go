package demo

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"ihyid/did"
	"ihyid/exchange"
)

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
