package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"ihyid/api/client"
	"ihyid/examples"
	"ihyid/kms/pkcs11/softhsm"
)

// host is the name under which the nodes know each other; it leads nowhere but to this machine.
const host = "localhost"

// node is one node of the demonstration: a process, and a client that speaks to it through its socket.
type node struct {
	org    examples.Organisation
	did    string
	data   string
	port   int
	client *client.Client
	cmd    *exec.Cmd
	exited chan error
}

// address is where its peers reach it.
func (n *node) address() string { return fmt.Sprintf("https://%s:%d/", host, n.port) }

// startNodes makes one node for every example organisation and starts it.
func (d *demo) startNodes(ctx context.Context) error {
	ca, err := newAuthority(d.dir)
	if err != nil {
		return fmt.Errorf("making a certificate authority: %w", err)
	}
	tokens, err := d.tokens(ctx)
	if err != nil {
		return fmt.Errorf("making the tokens of the HSM: %w", err)
	}
	for i, org := range examples.Organisations() {
		n := &node{org: org, data: filepath.Join(d.dir, "nodes", org.ID)}
		if err := d.startNode(ctx, n, ca, int64(i+2), tokens[org.ID]); err != nil {
			return fmt.Errorf("starting the node of %s: %w", org.Name, err)
		}
		d.nodes = append(d.nodes, n)
	}
	return nil
}

// tokens makes a SoftHSM token for every node, if that is where keys are to be, and gives the flags of init that name it.
func (d *demo) tokens(ctx context.Context) (map[string][]string, error) {
	if d.o.KMS != "pkcs11" {
		return nil, nil
	}
	folder := filepath.Join(d.dir, "softhsm")
	conf, err := softhsm.Setup(folder)
	if err != nil {
		return nil, err
	}
	// SoftHSM finds its configuration by the environment only, which the nodes inherit.
	if err := os.Setenv(softhsm.ConfVariable, conf); err != nil {
		return nil, err
	}
	out := map[string][]string{}
	for _, org := range examples.Organisations() {
		o, err := softhsm.NewToken(ctx, folder, org.ID)
		if err != nil {
			return nil, err
		}
		out[org.ID] = []string{"--kms", "pkcs11", "--pkcs11-module", o.Library, "--pkcs11-token", o.TokenLabel, "--pin-file", filepath.Join(folder, org.ID+".pin")}
	}
	return out, nil
}

func (d *demo) startNode(ctx context.Context, n *node, ca *authority, serial int64, initArgs []string) error {
	if err := os.MkdirAll(filepath.Dir(n.data), 0o700); err != nil {
		return err
	}
	// The port is held until the node is about to listen on it.
	held, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return err
	}
	n.port = held.Addr().(*net.TCPAddr).Port
	n.did = fmt.Sprintf("did:web:%s%%3A%d", host, n.port)
	args := append([]string{"init", "--data", n.data, "--did", "web", "--host", fmt.Sprintf("%s:%d", host, n.port),
		"--org-name", n.org.Name, "--org-number", n.org.RegistrationNumber, "--org-country", n.org.Country, "--proof", proofOf(d.o)}, append(initArgs, d.o.InitArgs...)...)
	if out, err := exec.CommandContext(ctx, d.o.Program, args...).CombinedOutput(); err != nil {
		held.Close()
		return fmt.Errorf("ihyid init: %w: %s", err, lastLine(out))
	}
	cert, key, err := ca.issue(n.data, serial)
	if err != nil {
		held.Close()
		return err
	}
	log, err := os.OpenFile(filepath.Join(d.dir, n.org.ID+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		held.Close()
		return err
	}
	defer log.Close()
	n.cmd = exec.Command(d.o.Program, "serve", "--data", n.data, "--listen", fmt.Sprintf("127.0.0.1:%d", n.port),
		"--proof", proofOf(d.o), "--tls-cert", cert, "--tls-key", key, "--ca-file", ca.file, "--allow-private", "127.0.0.0/8", "--allow-private", "::1/128")
	n.cmd.Stdout, n.cmd.Stderr = log, log
	n.cmd.SysProcAttr = childAttributes()
	if err := held.Close(); err != nil {
		return err
	}
	if err := n.cmd.Start(); err != nil {
		return err
	}
	n.exited = make(chan error, 1)
	go func() { n.exited <- n.cmd.Wait() }()
	if n.client, err = client.New(client.Options{DataDir: n.data}); err != nil {
		return err
	}
	return n.waitReady(ctx, log.Name())
}

func proofOf(o Options) string {
	if o.Proof == "" {
		return "rdfc"
	}
	return o.Proof
}

// waitReady asks the node for its status until it answers.
func (n *node) waitReady(ctx context.Context, log string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := n.client.Status(ctx); err == nil {
			return nil
		}
		select {
		case err := <-n.exited:
			n.exited <- err
			text, _ := os.ReadFile(log)
			return fmt.Errorf("it ended at once: %s", lastLine(text))
		case <-ctx.Done():
			return fmt.Errorf("it does not answer; see %s", log)
		case <-tick.C:
		}
	}
}

// stop ends all nodes and waits until they are gone.
func (d *demo) stop() error {
	var errs []error
	for _, n := range d.nodes {
		if n.client != nil {
			n.client.Close()
		}
		if n.cmd == nil || n.cmd.Process == nil {
			continue
		}
		if err := n.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
			errs = append(errs, err)
		}
		select {
		case <-n.exited:
		case <-time.After(20 * time.Second):
			errs = append(errs, fmt.Errorf("the node of %s did not stop and was killed", n.org.Name))
			errs = append(errs, n.cmd.Process.Kill())
			<-n.exited
		}
	}
	return errors.Join(errs...)
}

func lastLine(out []byte) string {
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	return lines[len(lines)-1]
}
