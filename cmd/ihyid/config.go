package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/knadh/koanf/v2"
	"github.com/spf13/pflag"

	"ihyid/credentials/ijson"
)

// ConfigName is the name of the configuration file within a data directory.
const ConfigName = "config.json"

// config is what flags, environment and file say together.
type config struct {
	Data     string
	Server   string
	Token    string
	ServerCA string

	k *koanf.Koanf
}

// Flag names double as configuration keys, '-' written as '_'. clientKeys make no sense in the file
// of a data directory: they choose it, or another node.
var (
	clientKeys = []string{"data", "server", "token_file", "server_ca"}
	serveKeys  = []string{
		"listen", "proof", "open_verify", "context", "schema", "tls_cert", "tls_key", "insecure_http_on_loopback", "local_only", "socket_only", "api_token_file", "allow_private", "ca_file",
		"key_file", "passphrase_file", "log_level", "log_format", "require_confirmed", "ask_always", "profiles", "metrics_listen", "otlp_endpoint",
		"oidc_issuer", "oidc_client_id", "oidc_client_secret_file", "oidc_redirect_url", "oidc_role_claim", "oidc_role",
		"kms", "pkcs11_module", "pkcs11_token", "pkcs11_serial", "pkcs11_slot", "pin_file",
	}
	listKeys = []string{"allow_private", "oidc_role", "context", "schema"}
	boolKeys = []string{"insecure_http_on_loopback", "local_only", "require_confirmed", "ask_always", "open_verify", "socket_only"}
)

// settings are the defaults.
var settings = values{"proof": "rdfc", "log_level": "info", "log_format": "text"}

// values is a koanf.Provider of settings that are at hand.
type values map[string]any

func (v values) Read() (map[string]any, error) { return v, nil }
func (v values) ReadBytes() ([]byte, error)    { return nil, errors.ErrUnsupported }

// loadConfig puts the settings together: flags before environment before file.
func loadConfig(flags *pflag.FlagSet, environ []string) (config, error) {
	env, fromFlags := values{}, values{}
	home := ""
	for _, e := range environ {
		name, value, _ := strings.Cut(e, "=")
		if name == "HOME" {
			home = value
		}
		key := strings.ToLower(strings.TrimPrefix(name, "IHYID_"))
		if !strings.HasPrefix(name, "IHYID_") || value == "" {
			continue
		}
		switch {
		case slices.Contains(listKeys, key):
			env[key] = strings.Split(value, ",")
		case slices.Contains(boolKeys, key):
			if value != "true" && value != "false" {
				return config{}, usagef("the environment variable %s must be true or false", name)
			}
			env[key] = value == "true"
		case key == "token" || slices.Contains(clientKeys, key) || slices.Contains(serveKeys, key):
			env[key] = value
		}
	}
	flags.Visit(func(f *pflag.Flag) {
		key := strings.ReplaceAll(f.Name, "-", "_")
		switch v := f.Value.(type) {
		case pflag.SliceValue:
			fromFlags[key] = v.GetSlice()
		default:
			if f.Value.Type() == "bool" {
				fromFlags[key] = f.Value.String() == "true"
			} else {
				fromFlags[key] = f.Value.String()
			}
		}
	})

	k := koanf.New(".")
	load := func(v values) error { return k.Load(v, nil) }
	if err := errors.Join(load(env), load(fromFlags)); err != nil {
		return config{}, err
	}
	data := k.String("data")
	if data == "" {
		data = defaultData(home)
	}
	file, err := readConfigFile(filepath.Join(data, ConfigName))
	if err != nil {
		return config{}, err
	}
	k = koanf.New(".")
	if err := errors.Join(load(settings), load(file), load(env), load(fromFlags)); err != nil {
		return config{}, err
	}
	c := config{Data: data, Server: k.String("server"), ServerCA: k.String("server_ca"), Token: k.String("token"), k: k}
	if c.Server != "" {
		if _, ok := fromFlags["data"]; ok {
			return config{}, usagef("--data and --server name two nodes: give one")
		}
		if name := k.String("token_file"); name != "" && (c.Token == "" || fromFlags["token_file"] != nil) {
			if c.Token, err = readSecret(name); err != nil {
				return config{}, err
			}
		}
	}
	return c, nil
}

func defaultData(home string) string { return filepath.Join(home, ".local", "share", "ihyid") }

// readConfigFile reads a configuration file; one that is not there is empty.
func readConfigFile(path string) (values, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return values{}, nil
	}
	if err != nil {
		return nil, err
	}
	m, err := ijson.ParseObject(text, ijson.Limits{MaxBytes: 1 << 20, MaxDepth: 4})
	if err != nil {
		return nil, fmt.Errorf("the configuration file %s cannot be read: %w", path, err)
	}
	for key, v := range m {
		ok := false
		switch {
		case !slices.Contains(serveKeys, key):
			return nil, fmt.Errorf("the configuration file %s has an unknown setting %q; known are: %s", path, key, strings.Join(serveKeys, ", "))
		case slices.Contains(boolKeys, key):
			_, ok = v.(bool)
		case slices.Contains(listKeys, key):
			list, isList := v.([]any)
			ok = isList
			strs := make([]string, len(list))
			for i, e := range list {
				s, isString := e.(string)
				ok = ok && isString
				strs[i] = s
			}
			m[key] = strs
		default:
			_, ok = v.(string)
		}
		if !ok {
			return nil, fmt.Errorf("in the configuration file %s the setting %q has the wrong type", path, key)
		}
	}
	return values(m), nil
}

// writeConfigFile sets and, where a value is "", removes settings in the file of a data directory. The other settings stay.
func writeConfigFile(path string, change map[string]string) error {
	all, err := readConfigFile(path)
	if err != nil {
		return err
	}
	for key, v := range change {
		if v == "" {
			delete(all, key)
		} else {
			all[key] = v
		}
	}
	if _, err := os.Stat(path); len(all) == 0 && errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ConfigName+".new-*")
	if err != nil {
		return err
	}
	_, err = tmp.Write(append(text, '\n'))
	err = errors.Join(err, tmp.Sync(), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// maxSecret bounds a file that holds one secret.
const maxSecret = 4 << 10

// readSecret reads a file of one line.
func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(secret) > maxSecret || strings.ContainsAny(secret, "\r\n") {
		return "", fmt.Errorf("%s must hold one line that is not empty", path)
	}
	return secret, nil
}

// trust gives a TLS configuration that trusts the certificates in the file; "" means the system's.
func trust(caFile string) (*tls.Config, error) {
	if caFile == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(caFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%s holds no certificate in PEM form", caFile)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS13}, nil
}
