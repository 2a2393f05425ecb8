package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/api/outbound"
	"ihyid/credentials"
	"ihyid/did"
	"ihyid/exchange"
)

// Bounds on what verify reads.
const (
	maxDocument   = 4 << 20
	maxStatusList = 4 << 20
)

// verifyReport is what verify answers.
type verifyReport struct {
	File     string `json:"file"`
	Verified bool   `json:"verified"`
	Kind     string `json:"kind"` // credential, presentation
	*credentials.Result
}

func (a *app) verifyCommand() *cobra.Command {
	var o genericOptions
	var docs, at string
	var contexts, schemas []string
	cmd := &cobra.Command{
		Use:   "verify FILE",
		Short: "Verify any W3C credential or presentation; needs no node",
		Long: `Verify a W3C Verifiable Credential or Presentation of the data model 2.0 or 1.1, whoever made it:
JSON with Data Integrity proofs (ecdsa-rdfc-2019, ecdsa-jcs-2019, eddsa-rdfc-2022,
eddsa-jcs-2022) or a JSON Web Token (vc+jwt, vp+jwt). FILE may be - for standard input.

Every check is named with its outcome and, where it did not pass, the reason; the status
is 1 if one failed. A did:key needs no network; other DIDs are taken from --did-docs
(every .json file in that directory), else resolved. With --offline nothing is asked over
the network, and the status of a credential (revoked, suspended) is skipped.

JSON-LD contexts and JSON Schemas are never fetched. The contexts of the W3C are built in;
give others with --context URL=FILE, or --context FILE if the document names one only
that is not known. A digest after the file (@sha256:HEX) has to be that of the file.
A credentialSchema is checked where it is given with --schema or stands in the credential.`,
		Example: `  ihyid verify credential.json
  ihyid verify presentation.json --challenge 4f1c… --domain https://relief.example.org
  ihyid verify receipt.jwt --did-docs did-docs --offline`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if at != "" {
				if o.against.At, err = time.Parse(time.RFC3339, at); err != nil {
					return usagef("--at must be a time such as 2026-11-22T00:00:00Z")
				}
			}
			var text []byte
			if args[0] == "-" {
				text, err = io.ReadAll(io.LimitReader(a.in, maxDocument+1))
				if err == nil && len(text) > maxDocument {
					err = fmt.Errorf("the input is larger than the %d bytes that are allowed", maxDocument)
				}
			} else {
				text, err = readFile(args[0], maxDocument)
			}
			if err != nil {
				return err
			}
			if o.suites, err = readSuites(contexts, schemas, false, text); err != nil {
				return err
			}
			if o.documents, err = readDocuments(docs); err != nil {
				return err
			}
			if o.network, err = a.network(); err != nil {
				return err
			}
			result, err := verifyDocument(cmd.Context(), text, o)
			if err != nil {
				return fmt.Errorf("%s cannot be verified: %w", args[0], err)
			}
			report := verifyReport{File: args[0], Verified: result.Passed(), Kind: "credential", Result: result}
			if credentials.IsPresentation(text) {
				report.Kind = "presentation"
			}
			return a.showVerification(report)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.against.Challenge, "challenge", "", "the `challenge` that a presentation must answer")
	f.StringSliceVar(&o.against.Domain, "domain", nil, "the `domain` that a presentation must be made for; give it once for each if there are several")
	f.StringVar(&o.against.Holder, "holder", "", "the `DID` that must have made a presentation")
	f.StringVar(&docs, "did-docs", "", "`directory` with DID documents that you trust")
	f.StringArrayVar(&contexts, "context", nil, "a JSON-LD context that you trust: `[URL=]FILE[@sha256:HEX]`; repeatable")
	f.StringArrayVar(&schemas, "schema", nil, "a JSON Schema, or a JsonSchemaCredential, that you trust: `URL=FILE[@sha256:HEX]`; repeatable")
	f.StringVar(&at, "at", "", "judge validity at this `time` instead of now")
	f.BoolVar(&o.offline, "offline", false, "ask nothing over the network")
	networkFlags(f)
	return cmd
}

func (a *app) showVerification(r verifyReport) error {
	var err error
	if a.json {
		err = a.printJSON(r)
	} else {
		t := newTable(a.out, "OUTCOME", "CHECK", "REASON")
		showChecks(t, "", r.Result)
		err = t.flush()
		verdict := "NOT VERIFIED"
		if r.Verified {
			verdict = "VERIFIED"
		}
		fmt.Fprintf(a.out, "%s: %s\n", clean(r.File), verdict)
	}
	if err == nil && !r.Verified {
		return errNo
	}
	return err
}

// showChecks lists the checks of a document, then those of the credentials in it.
func showChecks(t *table, prefix string, r *credentials.Result) {
	for _, c := range r.Checks {
		reason := c.Reason
		if c.Code != "" {
			reason = string(c.Code) + ": " + reason
		}
		t.row(strings.ToUpper(string(c.Outcome)), prefix+c.Name, reason)
	}
	for i, c := range r.Credentials {
		showChecks(t, prefix+"credential "+strconv.Itoa(i+1)+" ", c)
	}
}

// genericOptions say against what a document is verified, and with what.
type genericOptions struct {
	documents [][]byte
	suites    *credentials.Suites
	offline   bool
	network   networkOptions
	against   credentials.PresentationOptions
}

func verifyDocument(ctx context.Context, secured []byte, o genericOptions) (*credentials.Result, error) {
	fixed, err := parseDocuments(o.documents)
	if err != nil {
		return nil, err
	}
	v := &credentials.Verifier{Suites: o.suites}
	resolver := suppliedFirst{fixed: did.Fixed{}, next: did.NewResolver(did.Options{})}
	for _, d := range fixed {
		resolver.fixed[d.ID()] = d
	}
	if o.offline {
		o.against.SkipStatus = "not checked offline"
	} else {
		web, err := outbound.New(outbound.Options{AllowedNetworks: o.network.Private, ExtraRoots: o.network.Roots})
		if err != nil {
			return nil, err
		}
		defer web.Close()
		resolver.next = newResolver(web, o.network)
		v.StatusLists = statusFetcher{web}
	}
	v.Keys = exchange.NewKeys(resolver)
	return v.Any(ctx, secured, o.against), nil
}

func parseDocuments(texts [][]byte) ([]*did.Document, error) {
	var out []*did.Document
	for i, text := range texts {
		d, err := did.ParseDocument(text)
		if err != nil {
			return nil, fmt.Errorf("document %d of --did-docs: %w", i+1, err)
		}
		out = append(out, d)
	}
	return out, nil
}

// suppliedFirst resolves from the documents at hand, then otherwise.
type suppliedFirst struct {
	fixed did.Fixed
	next  did.Resolver
}

func (s suppliedFirst) Resolve(ctx context.Context, name string) (*did.Resolution, error) {
	if _, ok := s.fixed[name]; ok {
		return s.fixed.Resolve(ctx, name)
	}
	return s.next.Resolve(ctx, name)
}

// statusFetcher gets status lists over HTTPS.
type statusFetcher struct{ web *outbound.Client }

// StatusList implements credentials.StatusLists.
func (f statusFetcher) StatusList(ctx context.Context, url string) ([]byte, error) {
	body, _, err := f.web.Fetch(ctx, url, "application/vc, application/vc+jwt, application/json", maxStatusList)
	return body, err
}
