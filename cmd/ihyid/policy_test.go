package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"ihyid/api/client"
	"ihyid/api/policy"
)

// commandArguments are what each command is run with: things that a new node does not have, so that who may ask gets another error.
var commandArguments = map[string]string{
	"status": "", "contacts import": "LIST", "contacts list": "", "contacts show": "1", "contacts duplicates": "", "contacts export": "", "contacts search": "houman had",
	"contacts add": "--first-name Rana", "contacts edit": "4711 --phone 1", "contacts delete": "4711", "contacts erase": "4711 --yes", "contacts subject-report": "4711",
	"contacts duplicates find": "", "contacts duplicates decide": "4711-4712 same", "contacts duplicates merge": "4711-4712", "contacts duplicates undo": "4711",
	"contacts duplicates decided": "", "contacts mappings list": "", "contacts mappings delete": "nobody", "contacts retention show": "",
	"contacts retention set": "--days 3", "contacts retention off": "", "contacts retention run": "",
	"check-anonymous": "ANONS", "peers add": "DID", "peers list": "", "peers show": "DID", "peers approve": "DID", "peers refuse": "DID", "peers suspend": "DID",
	"peers resume": "DID", "peers fingerprint": "DID", "peers confirm": "DID 00000", "peers remove": "DID", "peers agree": "DID --purpose x", "peers roll": "DID",
	"agreements list": "", "agreements show": "HEX", "agreements approve": "HEX", "agreements refuse": "HEX", "agreements end": "HEX",
	"keys list": "", "keys rotate": "--purpose authentication", "keys retire": "HEX", "exchange run": "--peer DID --purpose x", "exchange list": "", "exchange show": "HEX",
	"exchange matches": "HEX", "exchange presentations": "HEX", "exchange approve": "HEX", "exchange refuse": "HEX", "exchange excuse": "HEX --reason x", "exchange cancel": "HEX",
	"exchange export-step": "HEX --out OUT", "exchange import-step": "LIST", "receipts list": "", "receipts export": "HEX",
	"receipts revoke": "HEX --reason x", "receipts suspend": "HEX --reason x", "receipts reinstate": "HEX", "jobs list": "", "jobs show": "4711", "jobs cancel": "4711",
	"profiles list": "", "profiles show": "soundex/1", "did flush": "", "users add": "new --role checker --password-file PASSWORD", "users list": "",
	"users role": "nobody checker", "users password": "nobody --password-file PASSWORD", "users disable": "nobody", "users enable": "nobody",
	"users tokens create": "--user nobody --scope check", "users tokens list": "--user nobody", "users tokens revoke": "HEX --user nobody",
	"users totp begin": "", "users totp confirm": "--code-file PASSWORD", "users totp off": "--password-file PASSWORD --code-file PASSWORD", "audit list": "", "audit verify": "",
}

// TestPolicyOfCommands runs every command that asks a node, as every role, at the socket of a real node: it is refused exactly where
// the policy table refuses the first operation that it asks for.
func TestPolicyOfCommands(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "node")
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	words := strings.NewReplacer("OUT", filepath.Join(dir, "step"), "DID", "did:web:nobody.invalid", "HEX", strings.Repeat("ab", 16), "PASSWORD", file("password", "correct horse battery\n"),
		"LIST", file("list.csv", "first_name,last_name,date_of_birth\n"), "ANONS", file("anons.json", `{"uscadis":[],"secrets":[]}`))
	run := func(ctx context.Context, args ...string) (int, string) {
		var out, problems bytes.Buffer
		a := &app{in: strings.NewReader(""), out: &out, err: &problems, environ: []string{"HOME=" + dir}}
		status := a.run(ctx, append(args, "--data", data))
		return status, problems.String()
	}
	if status, text := run(t.Context(), "init", "--did", "key", "--org-name", "T", "--org-number", "1", "--org-country", "LB"); status != 0 {
		t.Fatal(text)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan string, 1)
	go func() {
		_, text := run(ctx, "serve", "--local-only", "--log-level", "error")
		ended <- text
	}()
	defer func() {
		stop()
		<-ended
	}()
	c, err := client.New(client.Options{DataDir: data})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := c.Status(t.Context()); err == nil {
			break
		}
		select {
		case text := <-ended:
			ended <- ""
			t.Fatalf("the node did not start: %s", text)
		case <-tick.C:
		}
	}
	for _, role := range policy.Roles {
		if _, err := c.AddUser(t.Context(), string(role)+"-account", string(role), "correct horse battery"); err != nil {
			t.Fatal(err)
		}
	}
	table := policy.Default()
	for name, operations := range commandOperations {
		if len(operations) == 0 || slices.Contains([]string{"login", "logout", "setup"}, name) {
			continue // they ask no node, or one from afar as a stranger
		}
		given, ok := commandArguments[name]
		if !ok {
			t.Errorf("say in this test what to run %q with", name)
			continue
		}
		for _, role := range policy.Roles {
			first := operations[0]
			if name == "users totp off" {
				first = "auth-totp-end"
			}
			want := table.Check(&policy.Caller{Account: "1", Role: role, How: policy.BySocket}, first) != policy.Allowed
			args := append(strings.Fields(name), strings.Fields(words.Replace(given))...)
			status, text := run(t.Context(), append(args, "--as", string(role)+"-account", "--quiet")...)
			if refused := strings.Contains(text, "role may not do this"); refused != want || refused && status != 1 || status == 2 {
				t.Errorf("%s as %s: refused: %v, want %v (status %d): %s", name, role, refused, want, status, text)
			}
		}
	}
}
