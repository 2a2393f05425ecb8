package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/credentials/ijson"
	"ihyid/did"
)

func (a *app) statusCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "status",
		Short: "Say who the node is and what it holds",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				s, err := c.Status(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(s)
				}
				var peers []string
				for _, state := range slices.Sorted(maps.Keys(s.Peers)) {
					peers = append(peers, fmt.Sprintf("%d %s", s.Peers[state], state))
				}
				if len(peers) == 0 {
					peers = []string{"none"}
				}
				return a.facts("did", s.DID, "organisation", s.Organisation.Name, "registration number", s.Organisation.RegistrationNumber,
					"country", s.Organisation.Country, "contacts", s.Contacts, "peers", strings.Join(peers, ", "),
					"exchanges", s.Exchanges, "jobs at work", s.Jobs, "version", s.Version, "up since", when(s.Started))
			})
		},
	}
}

// maxAnonymousFile bounds a file of anonymous contacts.
const maxAnonymousFile = 16 << 20

func (a *app) checkAnonymousCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-anonymous FILE",
		Short: "Say which anonymous contacts of the prototype's form are known here",
		Long: `Say which anonymous contacts are known to this node, in the prototype's form. FILE, or -
for standard input, holds two unordered lists: {"uscadis":[...],"secrets":[...]}, each
uscadi the hex SHA-256 of a contact's phonetic id followed by one of the secrets. The
answer is always JSON: [{"uscadi":"...","known":"true"}, ...].`,
		Example: "  ihyid check-anonymous anonymous.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			text, err := a.readInput(args[0], maxAnonymousFile)
			if err != nil {
				return err
			}
			uscadis, secrets, err := parseAnonymous(text)
			if err != nil {
				return fmt.Errorf("%s is no file of anonymous contacts: %w", args[0], err)
			}
			return a.with(func(c *client.Client) error {
				known, err := c.CheckAnonymous(cmd.Context(), uscadis, secrets)
				if err != nil {
					return err
				}
				return a.printJSON(known)
			})
		},
	}
}

// parseAnonymous reads the prototype's file.
func parseAnonymous(text []byte) (uscadis, secrets []string, err error) {
	m, err := ijson.ParseObject(text, ijson.Limits{MaxBytes: maxAnonymousFile, MaxDepth: 2})
	if err != nil {
		return nil, nil, err
	}
	lists := map[string]*[]string{"uscadis": &uscadis, "secrets": &secrets}
	for name, list := range lists {
		*list = []string{}
		values, ok := m[name].([]any)
		if !ok {
			return nil, nil, fmt.Errorf("it needs a list named %s", name)
		}
		for i, v := range values {
			s, ok := v.(string)
			if !ok {
				return nil, nil, fmt.Errorf("number %d of %s is no string", i+1, name)
			}
			*list = append(*list, s)
		}
	}
	if len(m) > len(lists) {
		return nil, nil, fmt.Errorf("it holds more than uscadis and secrets")
	}
	return uscadis, secrets, nil
}

func (a *app) didCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "did", Short: "Decentralised identifiers"}
	resolve := &cobra.Command{
		Use:   "resolve DID",
		Short: "Resolve a DID to its document; needs no node",
		Long: `Resolve a DID (did:web or did:key) to its document. Needs no node. did:web is fetched
over HTTPS only; private addresses are refused unless allowed. With --json the answer is
the resolution result of DID Resolution 1.0, with metadata, or with its error.`,
		Example: "  ihyid did resolve did:web:relief.example.org\n  ihyid did resolve did:web:localhost%3A8443 --allow-private 127.0.0.0/8 --ca-file ca.pem",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			network, err := a.network()
			if err != nil {
				return err
			}
			r, err := resolveDID(cmd.Context(), args[0], network)
			if err != nil {
				return err
			}
			if a.json {
				if err := a.printJSON(r.result); err != nil {
					return err
				}
			}
			if e, ok := errors.AsType[*did.Error](r.err); ok && e.Err != nil {
				return fmt.Errorf("%s cannot be resolved: %s (%s): %w", args[0], e.Code.Title(), e.Code, e.Err)
			}
			if r.err != nil {
				return fmt.Errorf("%s cannot be resolved: %w", args[0], r.err)
			}
			if a.json {
				return nil
			}
			return a.printJSON(r.document)
		},
	}
	networkFlags(resolve.Flags())
	flush := &cobra.Command{
		Use:     "flush [DID]",
		Short:   "Make the running node forget what it resolved, of one DID or of all",
		Example: "  ihyid did flush did:web:relief.example.org\n  ihyid did flush",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := strings.Join(args, "")
			if _, err := did.Parse(name); name != "" && err != nil {
				return usagef("%s is not a DID", clean(name))
			}
			return a.with(func(c *client.Client) error {
				if err := c.FlushDID(cmd.Context(), name); err != nil {
					return fmt.Errorf("nothing was flushed: %w", err)
				}
				if name == "" {
					name = "all"
				}
				if a.json {
					return a.printJSON(map[string]string{"flushed": name})
				}
				return a.facts("flushed", name)
			})
		},
	}
	cmd.AddCommand(resolve, flush)
	return cmd
}

// resolution is what did resolve answers: with --json the result object of DID Resolution 1.0, also of a failure.
type resolution struct {
	result   json.RawMessage
	document json.RawMessage // nil if it failed
	err      error           // of the resolution
}

// release is set when a release is built: -ldflags "-X main.release=v1.2.3".
var release string

// version is the release, or the revision that the program was built from.
func version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "development"
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			revision = s.Value[:min(12, len(s.Value))]
		case "vcs.modified":
			if s.Value == "true" {
				dirty = "+changes"
			}
		}
	}
	if revision == "" {
		return "development"
	}
	return revision + dirty
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Say which version this is",
		RunE: func(*cobra.Command, []string) error {
			if a.json {
				return a.printJSON(map[string]string{"version": version(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
			}
			fmt.Fprintf(a.out, "ihyid %s (%s, %s/%s)\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return nil
		},
	}
}
