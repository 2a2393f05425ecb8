package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"github.com/rogpeppe/go-internal/testscript"

	"ihyid/api/accounts"
	"ihyid/api/client"
	"ihyid/kms/pkcs11"
	"ihyid/kms/pkcs11/softhsm"
)

func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"ihyid": main, "ihyid-node": main}) }

// plainProgram puts the program without the race detector first among what scripts run as ihyid, if the tests have it: some 400 short commands, whose
// start takes four times as long with it. What runs long and in many goroutines is ihyid-node, the same program as the tests have it.
func plainProgram(t *testing.T) func(*testscript.Env) error {
	path := ""
	if info, ok := debug.ReadBuildInfo(); ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"}) {
		path = t.TempDir()
		cmd := exec.CommandContext(t.Context(), "go", "build", "-race=false", "-o", filepath.Join(path, "ihyid"), ".")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("building ihyid: %v: %s", err, out)
		}
		path += string(filepath.ListSeparator)
	}
	return func(e *testscript.Env) error {
		e.Setenv("PATH", path+e.Getenv("PATH"))
		e.Setenv("GORACE", strings.TrimSpace(os.Getenv("GORACE")+" atexit_sleep_ms=0")) // else a second at the end of each process
		return nil
	}
}

// TestScripts runs the real program as testdata/script says: ihyid, and as ihyid-node, under the race detector where the tests are. Besides the
// commands of testscript there are:
//
//	status N COMMAND ARGS…   the command ends with exit status N
//	up DIR                   waits until a node serves the data directory
//	until RE COMMAND ARGS…   runs the command again and again until its standard output matches
//	port VAR                 sets VAR to a TCP port that was free a moment ago
//	certificate              makes ca.pem, cert.pem and key.pem for localhost
//	token LABEL              makes a SoftHSM token in softhsm, with its PIN in softhsm/LABEL.pin
//	numbered N FILE          writes a contact list of N rows
//	totp FILE STEP OUT       writes the code that an authenticator app shows STEP times 30 seconds from now, for the secret in FILE
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:   "testdata/script",
		Setup: plainProgram(t),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"token": token, "status": status, "until": until, "up": up, "port": port, "certificate": certificate, "numbered": numbered, "totp": code,
		},
		Condition: func(cond string) (bool, error) {
			if cond != "softhsm" {
				return false, fmt.Errorf("no such condition: %s", cond)
			}
			_, err := softhsm.Library()
			if err != nil && os.Getenv("IHYID_REQUIRE_SOFTHSM") == "1" {
				return false, err
			}
			_, without := pkcs11.Open(context.Background(), pkcs11.Options{})
			return err == nil && !errors.Is(without, pkcs11.ErrNotBuilt), nil
		},
	})
}

// token makes a SoftHSM token with that label. SoftHSM has one configuration a process: only one script may use it.
func token(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: token LABEL")
	}
	folder := ts.MkAbs("softhsm")
	conf, err := softhsm.Setup(folder)
	ts.Check(err)
	ts.Check(os.Setenv(softhsm.ConfVariable, conf))
	ts.Setenv(softhsm.ConfVariable, conf)
	o, err := softhsm.NewToken(context.Background(), folder, args[0])
	ts.Check(err)
	ts.Setenv("LIBRARY", o.Library)
}

func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND ARGS…")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if got != want {
		ts.Fatalf("exit status %d, want %d", got, want)
	}
}

func up(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: up DIR")
	}
	c, err := client.New(client.Options{DataDir: ts.MkAbs(args[0])})
	ts.Check(err)
	defer c.Close()
	again(ts, "a node serves "+args[0], func(ctx context.Context) bool {
		_, err := c.Status(ctx)
		return err == nil
	})
}

func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until RE COMMAND ARGS…")
	}
	want := regexp.MustCompile("(?m)" + args[0])
	again(ts, args[1]+" says "+args[0], func(context.Context) bool {
		return ts.Exec(args[1], args[2:]...) == nil && want.MatchString(ts.ReadFile("stdout"))
	})
}

// again tries until try gives true, for at most half a minute.
func again(ts *testscript.TestScript, what string, try func(context.Context) bool) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !try(ctx) {
		select {
		case <-ctx.Done():
			ts.Fatalf("waited in vain until %s", what)
		case <-tick.C:
		}
	}
}

func port(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: port VAR")
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	defer ln.Close()
	_, number, err := net.SplitHostPort(ln.Addr().String())
	ts.Check(err)
	ts.Setenv(args[0], number)
}

func certificate(ts *testscript.TestScript, _ bool, _ []string) {
	write := func(name, kind string, der []byte) {
		ts.Check(os.WriteFile(ts.MkAbs(name), pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600))
	}
	caKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	ca := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, ca, ca, &caKey.PublicKey, caKey)
	ts.Check(err)
	write("ca.pem", "CERTIFICATE", der)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ts.Check(err)
	leaf := &x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err = x509.CreateCertificate(rand.Reader, leaf, ca, &key.PublicKey, caKey)
	ts.Check(err)
	write("cert.pem", "CERTIFICATE", der)
	der, err = x509.MarshalPKCS8PrivateKey(key)
	ts.Check(err)
	write("key.pem", "PRIVATE KEY", der)
}

func code(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: totp FILE STEP OUT")
	}
	var drawn accounts.TOTPSecret
	ts.Check(json.Unmarshal([]byte(ts.ReadFile(args[0])), &drawn))
	step, err := strconv.Atoi(args[1])
	ts.Check(err)
	text, err := totp.GenerateCode(drawn.Secret, time.Now().Add(time.Duration(step)*30*time.Second))
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[2]), []byte(text+"\n"), 0o600))
}

func numbered(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: numbered N FILE")
	}
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	var b strings.Builder
	b.WriteString("first_name,last_name,mother_first_name,father_first_name,date_of_birth,external_id\n")
	names := []string{"Amal", "Basim", "Dalia", "Faris", "Hala", "Jamal", "Karim", "Lina", "Munir", "Nadia", "Omar", "Rana", "Samir", "Tariq", "Wafa", "Yusuf", "Zaid"}
	for i := range n {
		name := func(k int) string { return names[(i/k)%len(names)] }
		fmt.Fprintf(&b, "%s,%s,%s,%s,%d-%02d-%02d,N-%d\n", name(1), name(17), name(289), name(4913), 1950+i%60, 1+i%12, 1+i%28, i)
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(b.String()), 0o600))
}
