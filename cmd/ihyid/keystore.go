package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/term"

	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/kms/pkcs11"
)

// secretOptions say where the keys of a node are, and what opens their store.
type secretOptions struct {
	KMS                         string // "" or "file", "pkcs11"
	PassphraseFile, KeyFile     string // of file
	Module, Token, Serial, Slot string // of pkcs11
	PINFile, PINVariable        string
	Ask                         func(ctx context.Context, token string) ([]byte, error)
}

// pinMemory is the file that remembers a refused PIN, so that no restart tries it again.
const pinMemory = "pin-refused"

// create makes the key store of a new node.
func (s secretOptions) create(ctx context.Context, data string) (kms.Store, error) {
	if s.KMS == "pkcs11" {
		o, err := s.token(data, nil)
		if err != nil {
			return nil, err
		}
		return checked(pkcs11.Create(ctx, o))
	}
	o, err := s.file(true)
	if err != nil {
		return nil, err
	}
	return checked(file.Create(filepath.Join(data, keysName), o))
}

// open opens the key store of a node.
func (s secretOptions) open(ctx context.Context, data string, logger *slog.Logger) (kms.Store, error) {
	if s.KMS == "pkcs11" {
		o, err := s.token(data, logger)
		if err != nil {
			return nil, err
		}
		return checked(pkcs11.Open(ctx, o))
	}
	o, err := s.file(false)
	if err != nil {
		return nil, err
	}
	return checked(file.Open(filepath.Join(data, keysName), o))
}

// checked keeps a nil pointer from becoming a store that is not nil.
func checked[S kms.Store](s S, err error) (kms.Store, error) {
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (s secretOptions) token(data string, logger *slog.Logger) (pkcs11.Options, error) {
	o := pkcs11.Options{Library: s.Module, TokenLabel: s.Token, TokenSerial: s.Serial, PINMemory: filepath.Join(data, pinMemory), Logger: logger}
	named := 0
	for _, name := range []string{s.Token, s.Serial, s.Slot} {
		if name != "" {
			named++
		}
	}
	switch {
	case s.Module == "":
		return o, usagef("keys in a token need the library that speaks to it: --pkcs11-module PATH")
	case named != 1:
		return o, usagef("say which token in one way: --pkcs11-token LABEL, --pkcs11-serial SERIAL or --pkcs11-slot NUMBER")
	case s.PassphraseFile != "" || s.KeyFile != "":
		return o, usagef("a passphrase or key file protects keys in a file: leave it out, or --kms pkcs11")
	}
	if s.Slot != "" {
		n, err := strconv.ParseUint(s.Slot, 10, strconv.IntSize)
		if err != nil {
			return o, usagef("--pkcs11-slot must be a number")
		}
		slot := uint(n)
		o.Slot = &slot
	}
	switch {
	case s.PINFile != "":
		o.PIN = pkcs11.PINFile(s.PINFile)
	case os.Getenv(s.PINVariable) != "":
		o.PIN = pkcs11.PINEnv(s.PINVariable)
	case s.Ask != nil:
		o.PIN = pkcs11.PINPrompt(s.Ask)
	}
	return o, nil
}

// settings are what config.json keeps of this: no secret, but where to find it.
func (s secretOptions) settings() map[string]string {
	out := map[string]string{
		"kms": "", "pkcs11_module": "", "pkcs11_token": "", "pkcs11_serial": "", "pkcs11_slot": "", "pin_file": "",
		"passphrase_file": absolute(s.PassphraseFile), "key_file": absolute(s.KeyFile),
	}
	if s.KMS == "pkcs11" {
		out["kms"], out["pkcs11_module"], out["pkcs11_token"], out["pkcs11_serial"], out["pkcs11_slot"] = s.KMS, s.Module, s.Token, s.Serial, s.Slot
		out["pin_file"] = absolute(s.PINFile)
	}
	return out
}

func absolute(path string) string {
	if path == "" {
		return ""
	}
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// askPIN asks the person at the terminal.
func (a *app) askPIN(_ context.Context, token string) ([]byte, error) {
	in, ok := a.in.(*os.File)
	if !ok || !term.IsTerminal(int(in.Fd())) {
		return nil, fmt.Errorf("the PIN of token %s is needed: --pin-file FILE, or IHYID_PIN", clean(token))
	}
	fmt.Fprintf(a.err, "PIN of token %s: ", clean(token))
	pin, err := term.ReadPassword(int(in.Fd()))
	fmt.Fprintln(a.err)
	if errors.Is(err, io.EOF) {
		err = errors.New("no PIN was given")
	}
	return pin, err
}

func (s secretOptions) file(making bool) (file.Options, error) {
	switch {
	case s.PassphraseFile != "" && s.KeyFile != "":
		return file.Options{}, usagef("--passphrase-file and --key-file protect the keys in two ways: give one")
	case s.PassphraseFile != "":
		return file.Options{Secret: file.PassphraseFile(s.PassphraseFile)}, nil
	case s.KeyFile != "":
		if _, err := os.Stat(s.KeyFile); making && errors.Is(err, os.ErrNotExist) {
			if err := file.NewKeyFile(s.KeyFile); err != nil {
				return file.Options{}, err
			}
		}
		return file.Options{Secret: file.KeyFile(s.KeyFile)}, nil
	}
	return file.Options{}, nil
}
