package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/kms/pkcs11"
	"ihyid/store"
)

func (a *app) keysCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "keys",
		Short: "The node's keys",
		Long: `The node's keys. The signing keys are published in its DID document: the assertion key signs
what lasts, such as receipts; the authentication key signs what is said to other nodes. A key
that was replaced stays in the document, so that what it signed in its time can be verified.
Files for the node are sealed to the agreement key; one that was replaced is erased once it ends.`,
	}
	cmd.AddCommand(a.keysList(), a.keysRotate(), a.keysRetire(), a.keysMigrate())
	return cmd
}

func (a *app) keysList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.with(func(c *client.Client) error {
				keys, err := c.Keys(cmd.Context())
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(itemsOf(keys))
				}
				t := newTable(a.out, "STATE", "PURPOSE", "KIND", "ID", "VERIFICATION METHOD", "CREATED", "GOOD UNTIL")
				for _, k := range keys {
					until := k.Revoked
					if until.IsZero() {
						until = k.Expires
					}
					purpose := string(k.Purpose)
					if purpose == "" {
						purpose = "all" // a did:key is one key
					}
					t.row(k.State, purpose, k.Curve, k.ID, k.Method, when(k.Created), when(until))
				}
				return t.flush()
			})
		},
	}
}

func (a *app) keysRotate() *cobra.Command {
	var purpose, curve, overlap string
	var wait bool
	cmd := &cobra.Command{
		Use:   "rotate",
		Short: "Replace a key",
		Long: `Replace a key. assertion and authentication are the signing keys: the new one is published in
the DID document, in a change signed with the key in use before, so that peers accept it by
themselves. The replaced key stays good for --overlap, so that exchanges under way can end;
with --overlap 0s it is revoked at once (use that when the key may be in wrong hands).

agreement is the key to which files for this node are sealed. A file that was sealed to the replaced
key can be opened until the overlap ends; then that key is erased.

data is the key that the store is encrypted with: a job encrypts everything anew while the node
works on. wrapping is the key of the key store that protects the data key.`,
		Example: `  ihyid keys rotate --purpose assertion
  ihyid keys rotate --purpose authentication --overlap 0s
  ihyid keys rotate --purpose data --wait`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := oneOf("curve", curve, curveNames); err != nil {
				return err
			}
			return a.with(func(c *client.Client) error {
				switch purpose {
				case "assertion", "authentication":
				case "agreement":
					if curve != "" {
						return usagef("--curve is for signing keys")
					}
				case "data", "wrapping":
					if curve != "" || overlap != "" {
						return usagef("--curve and --overlap are for the keys of the DID document")
					}
					return a.rotateStoreKey(cmd.Context(), c, purpose, wait)
				default:
					return usagef("--purpose must be assertion, authentication, agreement, data or wrapping")
				}
				k, err := c.RotateKey(cmd.Context(), purpose, curve, overlap)
				if err != nil {
					return fmt.Errorf("the %s key was not replaced: %w", purpose, err)
				}
				return a.showKey(k)
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&purpose, "purpose", "", "which key: `assertion|authentication|agreement|data|wrapping`")
	f.StringVar(&curve, "curve", "", "of the new signing key: `P-256|P-384`; as before if not given")
	f.StringVar(&overlap, "overlap", "", "how long the replaced key stays good: a `duration` such as 48h (default) or 0s")
	f.BoolVar(&wait, "wait", false, "for --purpose data: wait until all is encrypted anew")
	_ = cmd.MarkFlagRequired("purpose")
	return cmd
}

func (a *app) rotateStoreKey(ctx context.Context, c *client.Client, purpose string, wait bool) error {
	if purpose == "wrapping" {
		if err := c.RotateWrappingKey(ctx); err != nil {
			return fmt.Errorf("the wrapping key was not replaced: %w", err)
		}
		if a.json {
			return a.printJSON(map[string]string{"rotated": purpose})
		}
		return a.facts("replaced", "the wrapping key")
	}
	job, err := c.RotateDataKey(ctx)
	if err == nil && wait {
		p := a.progress(ctx)
		job, err = c.WatchJob(ctx, job.ID, p.job("encrypting anew"))
		p.stop()
	}
	if err != nil {
		return fmt.Errorf("the data key was not replaced: %w", err)
	}
	if a.json {
		err = a.printJSON(job)
	} else {
		err = a.facts("job", job.ID, "state", job.State, "error", job.Error)
	}
	if err == nil && job.State == "failed" {
		err = errNo
	}
	return err
}

func (a *app) keysRetire() *cobra.Command {
	return &cobra.Command{
		Use:     "retire ID",
		Short:   "Revoke a key that was replaced",
		Long:    "Revoke a key that was replaced: it signs no more, and what it signed needs evidence of its time.\nA replaced agreement key is erased: files that were sealed to it cannot be opened any more.",
		Example: "  ihyid keys retire key-1",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				k, err := c.RetireKey(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("the key %s was not retired: %w", args[0], err)
				}
				return a.showKey(k)
			})
		},
	}
}

func (a *app) showKey(k exchange.Key) error {
	if a.json {
		return a.printJSON(k)
	}
	return a.facts("key", k.ID, "verification method", k.Method, "purpose", k.Purpose, "curve", k.Curve, "state", k.State,
		"created", when(k.Created), "expires", when(k.Expires), "revoked", when(k.Revoked))
}

func (a *app) keysMigrate() *cobra.Command {
	to := secretOptions{PINVariable: "IHYID_TO_PIN", Ask: a.askPIN}
	cmd := &cobra.Command{
		Use:   "migrate",
		Short: "Move the node's keys to another key store, by replacing them",
		Long: `Move the node's keys to another key store. Keys never leave theirs: new ones are made in the
other store, published in a change signed with the old ones, which are revoked, and the store's
data key is wrapped anew. The node must be stopped. Exchanges under way fail and have to be begun
anew. If it is interrupted, give the same command again.

The settings go to config.json. The old key store is not removed: a backup of the node from before
needs it.`,
		Example: `  ihyid keys migrate --data node --to pkcs11 --to-module /usr/lib/softhsm/libsofthsm2.so --to-token relief --to-pin-file pin
  ihyid keys migrate --data node --to file --to-passphrase-file passphrase`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if a.cfg.Server != "" {
				return usagef("migrate works on a node of this machine: --server makes no sense here")
			}
			if to.KMS != "file" && to.KMS != "pkcs11" {
				return usagef("--to must be file or pkcs11")
			}
			if from := a.secret().KMS; from == to.KMS && to.KMS == "file" {
				return usagef("the keys are in a file already; to protect it otherwise is not a migration")
			}
			m, err := migrateKeys(cmd.Context(), a.cfg.Data, a.secret(), to)
			if err != nil {
				return fmt.Errorf("the keys of %s were not moved: %w", a.cfg.Data, err)
			}
			if a.json {
				return a.printJSON(m)
			}
			if err := a.facts("keys are in", m.To, "assertion key", m.Assertion.Method, "authentication key", m.Authentication.Method, "former key store", m.Former); err != nil {
				return err
			}
			a.say("Start the node, so that its new keys are published: ihyid serve --data %s …", a.cfg.Data)
			return nil
		},
	}
	f := cmd.Flags()
	secretFlags(f)
	f.StringVar(&to.KMS, "to", "", "the other key store: `file|pkcs11`")
	f.StringVar(&to.Module, "to-module", "", "for pkcs11: `path` of its library")
	f.StringVar(&to.Token, "to-token", "", "for pkcs11: `label` of its token")
	f.StringVar(&to.Serial, "to-serial", "", "for pkcs11: `serial` number of its token")
	f.StringVar(&to.Slot, "to-slot", "", "for pkcs11: `number` of its slot")
	f.StringVar(&to.PINFile, "to-pin-file", "", "for pkcs11: `file` with its PIN (or the PIN itself in IHYID_TO_PIN)")
	f.StringVar(&to.PassphraseFile, "to-passphrase-file", "", "for file: `file` with its passphrase")
	f.StringVar(&to.KeyFile, "to-key-file", "", "for file: `file` with its key")
	_ = cmd.MarkFlagRequired("to")
	return cmd
}

// migration is what keys migrate answers.
type migration struct {
	To             string       `json:"to"`
	Assertion      exchange.Key `json:"assertion"`
	Authentication exchange.Key `json:"authentication"`
	Former         string       `json:"former,omitempty"` // file of the former key store
}

// mayMigrate refuses, before anything is made, what cannot be done: a did:key stands for one key, and keys never leave their store.
func mayMigrate(ctx context.Context, data string, old kms.Store) error {
	s, err := store.Open(ctx, filepath.Join(data, storeName), store.Options{Keys: old, LockTimeout: time.Second})
	if errors.Is(err, store.ErrWrongKey) {
		return nil // begun before, and come as far as to wrap the store's keys anew
	}
	if err != nil {
		return fmt.Errorf("opening the store (is the node stopped?): %w", err)
	}
	node, err := exchange.Open(ctx, exchange.Options{Store: s, Keys: old})
	if err == nil && strings.HasPrefix(node.DID(), "did:key:") {
		err = errors.New("a did:key is its key, which cannot leave its key store: only a node with a did:web can move")
	}
	return errors.Join(err, s.Close())
}

// migrateKeys moves a stopped node to another key store. Every step can be taken again after a crash: the settings, which decide where the
// node looks for its keys, change last.
func migrateKeys(ctx context.Context, data string, from, to secretOptions) (m migration, err error) {
	logger := slog.New(slog.DiscardHandler)
	old, err := from.open(ctx, data, logger)
	if err != nil {
		return m, fmt.Errorf("opening the key store: %w", err)
	}
	defer func() { err = errors.Join(err, old.Close()) }()
	if err := mayMigrate(ctx, data, old); err != nil {
		return m, err
	}
	fresh, err := to.create(ctx, data)
	if errors.Is(err, pkcs11.ErrExists) || errors.Is(err, file.ErrExists) {
		fresh, err = to.open(ctx, data, logger) // begun before
	}
	if err != nil {
		return m, fmt.Errorf("making the other key store: %w", err)
	}
	defer func() { err = errors.Join(err, fresh.Close()) }()
	both := kms.Succession(fresh, old)
	s, err := store.Open(ctx, filepath.Join(data, storeName), store.Options{Keys: both, LockTimeout: time.Second})
	if err != nil {
		return m, fmt.Errorf("opening the store (is the node stopped?): %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	node, err := exchange.Open(ctx, exchange.Options{Store: s, Keys: both})
	if err != nil {
		return m, err
	}
	if m.Assertion, err = node.RotateKey(ctx, kms.AssertionMethod, exchange.RotateOptions{}); err != nil {
		return m, err
	}
	if m.Authentication, err = node.RotateKey(ctx, kms.Authentication, exchange.RotateOptions{}); err != nil {
		return m, err
	}
	if err := node.Rewrap(ctx, fresh); err != nil {
		return m, err
	}
	m.To = to.KMS
	if err := writeConfigFile(filepath.Join(data, ConfigName), to.settings()); err != nil {
		return m, err
	}
	if from.KMS != "pkcs11" {
		m.Former = filepath.Join(data, keysName)
		if aside := m.Former + ".before-" + time.Now().UTC().Format("20060102T150405Z"); os.Rename(m.Former, aside) == nil {
			_ = os.Rename(m.Former+".key", aside+".key")
			m.Former = aside
		}
	}
	return m, nil
}
