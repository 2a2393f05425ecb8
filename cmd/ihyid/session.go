package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"ihyid/api/accounts"
	"ihyid/api/client"
)

// session is a sign-in that is kept between commands, in a file that its owner alone may read.
type session struct {
	Server  string    `json:"server"`
	Name    string    `json:"name"`
	Role    string    `json:"role"`
	Access  string    `json:"access_token"`
	Refresh string    `json:"refresh_token"`
	Expires time.Time `json:"expires"` // of the access token
}

// sessionFile is where the sign-in at a server is kept.
type sessionFile struct{ server, path string }

// sessionAt gives the file for a server: one a server, so that several can be signed in to.
func (a *app) sessionAt(server string) (sessionFile, error) {
	u, err := url.Parse(server)
	if err != nil || u.Host == "" {
		return sessionFile{}, usagef("the server %q is no URL such as https://node.example.org:8443", server)
	}
	home, dir := "", ""
	for _, e := range a.environ {
		switch name, value, _ := strings.Cut(e, "="); name {
		case "HOME":
			home = value
		case "IHYID_SESSION_DIR":
			dir = value
		}
	}
	if dir == "" {
		dir = filepath.Join(home, ".config", "ihyid")
	}
	server = strings.ToLower(u.Scheme+"://"+u.Host) + strings.TrimSuffix(u.Path, "/")
	sum := sha256.Sum256([]byte(server))
	return sessionFile{server, filepath.Join(dir, "session-"+hex.EncodeToString(sum[:8])+".json")}, nil
}

// read gives the kept sign-in; fs.ErrNotExist if there is none.
func (f sessionFile) read() (*session, error) {
	text, err := readFile(f.path, 16<<10)
	if err != nil {
		return nil, err
	}
	var s session
	if err := json.Unmarshal(text, &s); err != nil || s.Server != f.server || s.Refresh == "" {
		return nil, fmt.Errorf("the sign-in that is kept in %s cannot be read: sign in again", f.path)
	}
	return &s, nil
}

// write keeps a sign-in in place of the one before, whole or not at all.
func (f sessionFile) write(t accounts.Tokens) error {
	text, err := json.Marshal(session{
		Server: f.server, Name: t.Name, Role: string(t.Role), Access: t.Access, Refresh: t.Refresh,
		Expires: time.Now().Add(time.Duration(t.ExpiresIn) * time.Second).UTC(),
	})
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(f.path), ".session-*") // mode 0600
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), f.path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// remove forgets the sign-in; there need not be one.
func (f sessionFile) remove() error {
	if err := os.Remove(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// staleLock is after how long the lock of a command that died is taken over; a refresh takes a second or two.
const staleLock = 30 * time.Second

// lock keeps other commands from refreshing the same sign-in: a refresh token is good once.
func (f sessionFile) lock(ctx context.Context) (unlock func(), err error) {
	path := f.path + ".lock"
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		l, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			_ = l.Close()
			return func() { _ = os.Remove(path) }, nil
		}
		if !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
		if info, err := os.Stat(path); err == nil && time.Since(info.ModTime()) > staleLock {
			_ = os.Remove(path)
			continue
		}
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// token gives an access token that is good for a while yet, refreshing it where need be with c, an anonymous client.
func (f sessionFile) token(ctx context.Context, c *client.Client) (string, error) {
	fresh := func(s *session) bool { return time.Until(s.Expires) > 20*time.Second }
	s, err := f.read()
	if err != nil || fresh(s) {
		return tokenOf(s), err
	}
	unlock, err := f.lock(ctx)
	if err != nil {
		return "", err
	}
	defer unlock()
	if s, err = f.read(); err != nil || fresh(s) { // another command was faster
		return tokenOf(s), err
	}
	t, err := c.Refresh(ctx, s.Refresh)
	var p *client.Problem
	if errors.As(err, &p) && p.Code() == "unauthorized" {
		_ = f.remove()
		return "", fmt.Errorf("the sign-in at %s is over: sign in again with ihyid login --server %s", f.server, f.server)
	}
	if err != nil {
		return "", err
	}
	return t.Access, f.write(t)
}

func tokenOf(s *session) string {
	if s == nil {
		return ""
	}
	return s.Access
}
