package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/contacts"
)

// profilesName is the directory of an operator's own matching profiles within a data directory.
const profilesName = "profiles"

// maxOwnProfiles bounds the files that are read at the start.
const maxOwnProfiles = 64

// profilesDir is where own profiles lie: as set, or in the data directory.
func (a *app) profilesDir() string {
	if dir := a.cfg.k.String("profiles"); dir != "" {
		return dir
	}
	return filepath.Join(a.cfg.Data, profilesName)
}

// loadProfiles gives the built-in profiles and those in the *.json files of a directory, by name. A directory that is not there
// holds none. Two profiles of one name are refused unless they are the same: a name must mean one thing at a node.
func loadProfiles(dir string) (map[string]*contacts.Profile, error) {
	all := map[string]*contacts.Profile{}
	for _, name := range contacts.BuiltinProfiles() {
		p, err := contacts.BuiltinProfile(name)
		if err != nil {
			return nil, err
		}
		all[p.Name()] = p
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return all, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the matching profiles: %w", err)
	}
	own := 0
	for _, e := range entries {
		if e.IsDir() || !strings.HasSuffix(e.Name(), ".json") || strings.HasPrefix(e.Name(), ".") {
			continue
		}
		if own++; own > maxOwnProfiles {
			return nil, fmt.Errorf("%s holds more than %d matching profiles", dir, maxOwnProfiles)
		}
		file := filepath.Join(dir, e.Name())
		p, err := readProfile(file)
		if err != nil {
			return nil, err
		}
		if there := all[p.Name()]; there != nil && there.Digest() != p.Digest() {
			return nil, fmt.Errorf("%s is named %s, as another matching profile is: give it another name or version", file, p.Name())
		}
		all[p.Name()] = p
	}
	return all, nil
}

// findProfile gives the profile of that name, built in or in the directory of own profiles, or the one in the file of that name.
func (a *app) findProfile(name string) (*contacts.Profile, error) {
	p, err := contacts.BuiltinProfile(name)
	if !errors.Is(err, contacts.ErrUnknownProfile) {
		return p, err
	}
	if info, err := os.Stat(name); err == nil && !info.IsDir() {
		return readProfile(name)
	}
	all, err := loadProfiles(a.profilesDir())
	if err != nil {
		return nil, err
	}
	if p := all[name]; p != nil {
		return p, nil
	}
	return nil, fmt.Errorf("%s is neither a matching profile known here (%s) nor a file", name, strings.Join(slices.Sorted(maps.Keys(all)), ", "))
}

func readProfile(name string) (*contacts.Profile, error) {
	text, err := readFile(name, contacts.MaxProfileBytes)
	if err != nil {
		return nil, err
	}
	p, err := contacts.ParseProfile(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return p, nil
}

func (a *app) profilesCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "profiles",
		Short: "Matching profiles: what two contacts must agree in",
		Long: `Matching profiles say what two contacts must agree in to be a match. Some are built in.
An operator can write others, as JSON files in the directory profiles of the node's data
directory, or the one that serve --profiles names; the node reads them when it starts.
The document of a built-in profile (profiles show NAME --out FILE) is a good beginning.

Two nodes match under the same profile when its id is the same on both.`,
	}
	list := &cobra.Command{
		Use:   "list",
		Short: "List the matching profiles that the node knows",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				list, err := c.Profiles(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 {
					a.say("This node knows no matching profile.")
					return nil
				}
				t := newTable(a.out, "PROFILE", "KEYS", "ID", "DESCRIPTION")
				for _, p := range list {
					t.row(p.Name, fmt.Sprint(len(p.Keys)), p.ID, p.Description)
				}
				return t.flush()
			})
		},
	}
	var file string
	show := &cobra.Command{
		Use:   "show NAME",
		Short: "Show a matching profile",
		Long: `Show what two contacts must agree in under a matching profile. --out writes the profile's
document to a file, as ihyid profiles check and the directory profiles take it.`,
		Example: "  ihyid profiles show soundex/1\n  ihyid profiles show levant/1 --out own.json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				p, err := c.Profile(cmd.Context(), args[0])
				var problem *client.Problem
				if errors.As(err, &problem) && problem.Code() == "not-found" {
					// What is not of the form name/version has no path to be asked at.
					return fmt.Errorf("profile %s cannot be shown: a profile's name has a version, such as soundex/1 (ihyid profiles list shows the profiles that this node knows)", args[0])
				}
				if err != nil {
					return fmt.Errorf("profile %s cannot be shown: %w", args[0], err)
				}
				if file != "" {
					return a.toFile(file, func(w io.Writer) error {
						var out bytes.Buffer
						if err := json.Indent(&out, p.Document, "", "  "); err != nil {
							return err
						}
						out.WriteByte('\n')
						_, err := out.WriteTo(w)
						return err
					})
				}
				if a.json {
					return a.printJSON(p)
				}
				if err := a.facts("profile", p.Name, "id", p.ID, "description", p.Description); err != nil {
					return err
				}
				known, err := contacts.ParseProfile(p.Document)
				if err != nil {
					// A newer node may know normalisers that this program does not: its document is shown as it is.
					var doc any
					if err := json.Unmarshal(p.Document, &doc); err != nil {
						return err
					}
					return a.printJSON(doc)
				}
				return a.showKeys(known)
			})
		},
	}
	show.Flags().StringVarP(&file, "out", "o", "", "write the profile's document to this `file`, - for standard output")
	cmd.AddCommand(list, show, a.profilesCheck())
	return cmd
}

// showKeys lists the match keys of a profile with what they are made of.
func (a *app) showKeys(p *contacts.Profile) error {
	t := newTable(a.out, "MATCH KEY", "STRENGTH", "AGREES IN")
	for i := range p.NumKeys() {
		k := p.Key(i)
		var parts []string
		for _, part := range k.Parts {
			field := part.Field
			if field == "" {
				field = strings.Join(part.Fields, " and ") + " in any order"
			}
			how := part.Normalise
			if part.Encode != "text/1" {
				how += " " + part.Encode
			}
			parts = append(parts, fmt.Sprintf("%s (%s)", field, how))
		}
		t.row(k.Name, string(k.Strength), strings.Join(parts, ", "))
	}
	return t.flush()
}

// profileCheck is what profiles check answers with --json.
type profileCheck struct {
	Name     string          `json:"name"`
	ID       string          `json:"id"`
	Keys     []string        `json:"keys"`
	Builtin  string          `json:"built_in,omitempty"` // "same" as the built-in one of that name, or "differs"
	Peer     string          `json:"peer,omitempty"`     // "same" as the one with the id that was given, or "differs"
	Document json.RawMessage `json:"document"`
}

func (a *app) profilesCheck() *cobra.Command {
	var id string
	cmd := &cobra.Command{
		Use:   "check FILE",
		Short: "Check a matching profile in a file; needs no node",
		Long: `Check a matching profile in a file, and say its id. Two nodes match under one profile
when its ids are the same, whatever the spaces and the order of members in the files.
With --id, the id that somebody else's node shows, the status says whether it is the same.`,
		Example: "  ihyid profiles check own.json\n  ihyid profiles check own.json --id sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			p, err := readProfile(args[0])
			if err != nil {
				return err
			}
			r := profileCheck{Name: p.Name(), ID: p.ID(), Document: p.JSON()}
			for i := range p.NumKeys() {
				r.Keys = append(r.Keys, p.KeyName(i))
			}
			same := map[bool]string{true: "same", false: "differs"}
			if known, err := contacts.BuiltinProfile(p.Name()); err == nil {
				r.Builtin = same[known.Digest() == p.Digest()]
			}
			if id != "" {
				r.Peer = same[id == p.ID()]
			}
			if a.json {
				err = a.printJSON(r)
			} else {
				if err = a.facts("profile", r.Name, "id", r.ID); err == nil {
					err = a.showKeys(p)
				}
			}
			switch {
			case err != nil:
				return err
			case r.Builtin == "differs":
				return fmt.Errorf("%s is another profile than the built-in %s: give it another name or version", args[0], r.Name)
			case r.Peer == "differs":
				return fmt.Errorf("%s is another profile than the one with that id: two nodes that use them cannot match", args[0])
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&id, "id", "", "the `id` that the profile should have")
	return cmd
}
