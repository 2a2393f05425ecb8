package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/spf13/pflag"
)

// What is read of a file of anonymous contacts is what encoding/json reads from it too.
func FuzzParseAnonymous(f *testing.F) {
	for _, s := range []string{
		`{"uscadis":["ab"],"secrets":["cd","ef"]}`, `{"uscadis":[],"secrets":[]}`, `{"uscadis":["a"],"secrets":[1]}`, `[]`, "",
		`{"uscadis":[],"secrets":[],"uscadis":["x"]}`, `{"uscadis":null,"secrets":[]}`, `{"uscadis":[],"secrets":[],"more":1}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		uscadis, secrets, err := parseAnonymous(text)
		if err != nil {
			return
		}
		var want struct{ Uscadis, Secrets []string }
		if err := json.Unmarshal(text, &want); err != nil || !slices.Equal(uscadis, want.Uscadis) || !slices.Equal(secrets, want.Secrets) {
			t.Fatalf("%q: %q and %q, want %q and %q, %v", text, uscadis, secrets, want.Uscadis, want.Secrets, err)
		}
	})
}

// Whatever a configuration file holds, reading it ends, and what it gives has the types it should.
func FuzzConfigFile(f *testing.F) {
	for _, s := range []string{
		`{"listen":":443","local_only":true,"allow_private":["10.0.0.0/8"]}`, `{"allow_private":"x"}`, `{"allow_private":[1]}`, `{"listen":null}`, `{"LISTEN":"x"}`, "", "{",
	} {
		f.Add([]byte(s))
	}
	path := filepath.Join(f.TempDir(), ConfigName)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		got, err := readConfigFile(path)
		if err != nil {
			return
		}
		for k, v := range got {
			switch v.(type) {
			case string:
			case bool:
				if !slices.Contains(boolKeys, k) {
					t.Fatalf("%q: %s is %v", text, k, v)
				}
			case []string:
				if !slices.Contains(listKeys, k) {
					t.Fatalf("%q: %s is %v", text, k, v)
				}
			default:
				t.Fatalf("%q: %s is a %T", text, k, v)
			}
		}
	})
}

// Flags are stronger than the environment, and that than the file.
func TestSettingsOrder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, ConfigName), []byte(`{"listen":"file","tls_cert":"file","tls_key":"file","allow_private":["10.0.0.0/8"]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.String("listen", "default", "")
	flags.String("data", "", "")
	flags.String("log-level", "default", "")
	if err := flags.Parse([]string{"--listen", "flag"}); err != nil {
		t.Fatal(err)
	}
	c, err := loadConfig(flags, []string{"IHYID_DATA=" + dir, "IHYID_LISTEN=env", "IHYID_TLS_CERT=env", "IHYID_NOTHING=x", "HOME=/home/x"})
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"listen": "flag", "tls_cert": "env", "tls_key": "file", "log_level": "info"} {
		if got := c.k.String(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
	if got := c.k.Strings("allow_private"); !slices.Equal(got, []string{"10.0.0.0/8"}) || c.Data != dir {
		t.Errorf("%q, %q", got, c.Data)
	}
	c, err = loadConfig(pflag.NewFlagSet("test", pflag.ContinueOnError), []string{"HOME=/home/x"})
	if err != nil || c.Data != "/home/x/.local/share/ihyid" {
		t.Errorf("%q, %v", c.Data, err)
	}
	if _, err := loadConfig(flags, []string{"IHYID_LOCAL_ONLY=yes"}); err == nil {
		t.Error("a truth that is neither true nor false was taken")
	}
}

// What a peer says cannot steer the terminal, nor turn the direction of a line.
func TestClean(t *testing.T) {
	for in, want := range map[string]string{
		"Beta\x1b[2J":            "Beta\ufffd[2J",
		"a\nb\tc":                "a b c",
		"\u202egnp.exe":          "\ufffdgnp.exe",
		"\u2066x\u2069\u200f":    "\ufffdx\ufffd\ufffd",
		"\u009b31m":              "\ufffd31m",
		"جمعية الإغاثة — Relief": "جمعية الإغاثة — Relief",
	} {
		if got := clean(in); got != want {
			t.Errorf("%q becomes %q, want %q", in, got, want)
		}
	}
}
