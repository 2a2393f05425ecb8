package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api/policy"
)

// alone stands for a command that asks no node.
var alone = []string{}

// commandOperations names, for every command, the operations that it may ask a node for. The policy table says who may;
// a command that is not here keeps the node from starting.
var commandOperations = map[string][]string{
	"": alone, "init": alone, "serve": alone, "match": alone, "verify": alone, "did resolve": alone, "demo": alone, "bench": alone, "version": alone,
	"receipts verify": alone, "keys migrate": alone, "profiles check": alone, "bench match": alone,

	"status":                      {"status"},
	"contacts import":             {"contacts-import", "contacts-mappings-save", "jobs-show", "jobs-events", "contacts-import-report", "jobs-cancel"},
	"contacts list":               {"contacts-list"},
	"contacts show":               {"contacts-show"},
	"contacts duplicates":         {"contacts-duplicates"},
	"contacts export":             {"contacts-export", "contacts-list"},
	"check-anonymous":             {"check-anonymous"},
	"peers add":                   {"peers-add"},
	"peers list":                  {"peers-list"},
	"peers show":                  {"peers-show"},
	"peers approve":               {"peers-approve"},
	"peers refuse":                {"peers-refuse"},
	"peers suspend":               {"peers-suspend"},
	"peers resume":                {"peers-resume"},
	"peers fingerprint":           {"peers-fingerprint"},
	"peers confirm":               {"peers-confirm", "peers-fingerprint"},
	"peers remove":                {"peers-remove"},
	"peers agree":                 {"agreements-propose", "peers-show"},
	"peers roll":                  {"peers-roll"},
	"agreements list":             {"agreements-list"},
	"agreements show":             {"agreements-show"},
	"agreements approve":          {"agreements-approve"},
	"agreements refuse":           {"agreements-refuse"},
	"agreements end":              {"agreements-end"},
	"keys list":                   {"keys-list"},
	"keys rotate":                 {"keys-rotate", "keys-rotate-data", "keys-rotate-wrapping", "jobs-events", "jobs-show"},
	"keys retire":                 {"keys-retire"},
	"exchange run":                {"exchanges-start", "exchanges-show", "exchanges-export-step", "jobs-events", "jobs-show", "jobs-cancel"},
	"exchange export-step":        {"exchanges-show", "exchanges-export-step", "jobs-events", "jobs-show"},
	"exchange import-step":        {"exchanges-import-step", "exchanges-export-step", "exchanges-show", "jobs-events", "jobs-show"},
	"exchange excuse":             {"exchanges-excuse"},
	"exchange cancel":             {"exchanges-cancel"},
	"contacts search":             {"contacts-search"},
	"contacts add":                {"contacts-create"},
	"contacts edit":               {"contacts-update"},
	"contacts delete":             {"contacts-delete"},
	"contacts erase":              {"contacts-erase"},
	"contacts subject-report":     {"contacts-subject-report", "contacts-find"},
	"contacts duplicates find":    {"contacts-duplicates-find", "jobs-show", "jobs-events"},
	"contacts duplicates decide":  {"contacts-duplicates-decide"},
	"contacts duplicates merge":   {"contacts-duplicates-merge"},
	"contacts duplicates undo":    {"contacts-undo-merge"},
	"contacts duplicates decided": {"contacts-decisions"},
	"contacts mappings list":      {"contacts-mappings"},
	"contacts mappings delete":    {"contacts-mappings-delete"},
	"contacts retention show":     {"contacts-retention", "contacts-retention-preview"},
	"contacts retention set":      {"contacts-retention-preview", "contacts-retention-set"},
	"contacts retention off":      {"contacts-retention-set"},
	"contacts retention run":      {"contacts-retention-run", "jobs-show", "jobs-events"},
	"exchange list":               {"exchanges-list"},
	"exchange show":               {"exchanges-show"},
	"exchange matches":            {"exchanges-matches", "exchanges-matches-export"},
	"exchange presentations":      {"exchanges-presentations"},
	"exchange approve":            {"exchanges-approve"},
	"exchange refuse":             {"exchanges-refuse"},
	"receipts list":               {"receipts-list"},
	"receipts export":             {"receipts-show"},
	"receipts revoke":             {"receipts-revoke"},
	"receipts suspend":            {"receipts-suspend"},
	"receipts reinstate":          {"receipts-reinstate"},
	"jobs list":                   {"jobs-list"},
	"jobs show":                   {"jobs-show", "jobs-events"},
	"jobs cancel":                 {"jobs-cancel"},
	"profiles list":               {"profiles-list"},
	"profiles show":               {"profiles-show"},
	"did flush":                   {"dids-flush", "dids-flush-all"},
	"users add":                   {"users-add"},
	"users list":                  {"users-list"},
	"users role":                  {"users-list", "users-role"},
	"users password":              {"users-list", "users-password", "auth-password"},
	"users disable":               {"users-list", "users-disable"},
	"users enable":                {"users-list", "users-enable"},
	"users tokens create":         {"users-list", "users-tokens-create", "auth-tokens-create"},
	"users tokens list":           {"users-list", "users-tokens-list", "auth-tokens-list"},
	"users tokens revoke":         {"users-list", "users-tokens-revoke", "auth-tokens-revoke"},
	"users totp begin":            {"auth-totp-begin"},
	"users totp confirm":          {"auth-totp-confirm"},
	"users totp off":              {"auth-totp-end", "users-list", "users-totp-end"},
	"audit list":                  {"audit-list"},
	"audit verify":                {"audit-verify"},
	"login":                       {"auth-login", "auth-oidc-start", "auth-oidc-redeem"},
	"logout":                      {"auth-logout", "auth-refresh"},
	"setup":                       {"auth-setup"},
}

// checkCommands makes sure that every command is in commandOperations, with operations that the policy table knows.
func checkCommands(root *cobra.Command) error {
	table := policy.Default()
	var walk func(cmd *cobra.Command) error
	walk = func(cmd *cobra.Command) error {
		var err error
		for _, sub := range cmd.Commands() {
			err = errors.Join(err, walk(sub))
		}
		if err != nil {
			return err
		}
		name := strings.TrimSpace(strings.TrimPrefix(cmd.CommandPath(), root.Name()))
		if cmd.HasSubCommands() || slices.Contains([]string{"help", "completion"}, strings.Fields(name + " x")[0]) {
			return nil
		}
		operations, ok := commandOperations[name]
		if !ok {
			return fmt.Errorf("the command %q does not say which operations it asks a node for", name)
		}
		for _, op := range operations {
			if _, ok := table.Row(op); !ok {
				return fmt.Errorf("the command %q asks for the operation %q, which has no row in the policy table", name, op)
			}
		}
		return nil
	}
	return walk(root)
}
