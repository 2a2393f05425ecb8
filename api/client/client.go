package client

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"ihyid/api"
)

// Options says which node to speak to: exactly one of DataDir and Server.
type Options struct {
	DataDir string // the node's data directory; its socket is used
	Server  string // or its URL: https, or http to a loopback address
	Token   string // for Server
	// TokenSource gives the token of each request, where Token is empty.
	TokenSource func(ctx context.Context) (string, error)
	Anonymous   bool   // for Server, without a token: to sign in
	As          string // for DataDir: the account, by id or name, to act as
	TLS         *tls.Config
	// Sleep waits between attempts; nil: by the clock.
	Sleep func(ctx context.Context, d time.Duration) error
}

// Client speaks to one node. It is safe for concurrent use. Close it when done.
type Client struct {
	http  *http.Client
	base  string
	token func(context.Context) (string, error) // nil: none is sent
	as    string
	where string // for errors
	data  string
	match string // If-Match of changes
	sleep func(context.Context, time.Duration) error
}

// New makes a client. It does not connect yet.
func New(o Options) (*Client, error) {
	c := &Client{token: o.TokenSource, as: o.As, sleep: o.Sleep, data: o.DataDir}
	if c.sleep == nil {
		c.sleep = sleep
	}
	if o.Token != "" {
		c.token = func(context.Context) (string, error) { return o.Token, nil }
	}
	transport := &http.Transport{
		MaxIdleConnsPerHost:    4,
		IdleConnTimeout:        30 * time.Second,
		ResponseHeaderTimeout:  0, // an import answers once all of it has arrived
		MaxResponseHeaderBytes: 64 << 10,
		TLSHandshakeTimeout:    15 * time.Second,
		ExpectContinueTimeout:  time.Second,
		TLSClientConfig:        o.TLS,
		ForceAttemptHTTP2:      true,
	}
	switch {
	case (o.DataDir == "") == (o.Server == ""):
		return nil, errors.New("either a data directory or a server is needed, not both")
	case o.DataDir != "":
		c.base, c.where = "http://ihyid", o.DataDir
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return api.DialSocket(ctx, o.DataDir)
		}
	default:
		u, err := url.Parse(o.Server)
		if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			return nil, fmt.Errorf("the server %q is no URL such as https://node.example.org:8443", o.Server)
		}
		if u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
			return nil, fmt.Errorf("the server %q must be an https URL: the token must not travel in the clear", o.Server)
		}
		if c.token == nil && !o.Anonymous {
			return nil, errors.New("a server needs a token: sign in with ihyid login --server URL, or give an API token with --token-file or IHYID_TOKEN")
		}
		if o.As != "" {
			return nil, errors.New("only at the node's own socket can one act as another account: sign in as it")
		}
		c.base, c.where = strings.TrimSuffix(u.String(), "/"), o.Server
		transport.Proxy = http.ProxyFromEnvironment
	}
	c.http = &http.Client{
		Transport: transport,
		// The token goes to the node that was named, and nowhere else.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// IfVersion gives a client whose changes are done only to what still has this version: else the node does nothing and answers the problem
// precondition-failed. It shares its connections with c.
func (c *Client) IfVersion(version uint64) *Client {
	under := *c
	under.match = `"` + strconv.FormatUint(version, 10) + `"`
	return &under
}

// Close gives back idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// maxAnswer bounds a JSON answer. A page of 1,000 contacts stays under 2 MiB; the matches of an
// exchange are one answer.
const maxAnswer = 256 << 20

// attempts is how often a read that the node was too busy for is tried.
const attempts = 4

// do sends a request and decodes a JSON answer into out (nil: it is dropped).
func (c *Client) do(ctx context.Context, method, path string, query url.Values, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return err
		}
	}
	for attempt := 1; ; attempt++ {
		var reader io.Reader
		if in != nil {
			reader = bytes.NewReader(body)
		}
		resp, err := c.send(ctx, method, path, query, "application/json", reader)
		var p *Problem
		if errors.As(err, &p) && p.RetryAfter > 0 && p.Status == http.StatusServiceUnavailable && attempt < attempts {
			if err := c.sleep(ctx, p.RetryAfter); err != nil {
				return err
			}
			continue
		}
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if out == nil {
			return nil
		}
		data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
		if err != nil {
			return c.broken(ctx, err)
		}
		if len(data) > maxAnswer {
			return fmt.Errorf("the node's answer is longer than %d MiB", maxAnswer>>20)
		}
		if raw, ok := out.(*json.RawMessage); ok {
			*raw = data
			return nil
		}
		if err := json.Unmarshal(data, out); err != nil {
			return fmt.Errorf("the node's answer to %s %s cannot be understood: is %s an ihyid node of this version?", method, path, c.where)
		}
		return nil
	}
}

// send sends one request, with further headers in pairs. An answer that is no success becomes an error, and its body is closed.
func (c *Client) send(ctx context.Context, method, path string, query url.Values, contentType string, body io.Reader, headers ...string) (*http.Response, error) {
	target := c.base + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", contentType)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	if c.match != "" && method != http.MethodGet {
		req.Header.Set("If-Match", c.match)
	}
	if c.token != nil {
		token, err := c.token(ctx)
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+token)
	}
	if c.as != "" {
		req.Header.Set(api.AccountHeader, url.QueryEscape(c.as))
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if resp.StatusCode < 200 || resp.StatusCode > 299 {
		defer resp.Body.Close()
		return nil, c.problem(resp)
	}
	return resp, nil
}

// problem decodes what the node answered instead of what was asked for.
func (c *Client) problem(resp *http.Response) error {
	data, err := io.ReadAll(io.LimitReader(resp.Body, 256<<10))
	if err != nil {
		return c.broken(resp.Request.Context(), err)
	}
	p := &Problem{}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") ||
		json.Unmarshal(data, &p.Problem) != nil || p.Title == "" {
		return fmt.Errorf("%s answered %s, not as an ihyid node does: check the address", c.where, resp.Status)
	}
	p.Status = resp.StatusCode
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		p.RetryAfter = min(time.Duration(seconds)*time.Second, time.Minute)
	}
	return p
}

// unreachable turns an error of the network into one that says what to do.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if c.data != "" {
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
			return &NotRunning{DataDir: c.data, Err: err}
		case errors.Is(err, fs.ErrPermission):
			return fmt.Errorf("the socket of the node in %s may be used by its owner only: run as the user that runs the node, or use --server with a token", c.data)
		}
	}
	return c.broken(ctx, err)
}

func (c *Client) broken(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return &Broken{Where: c.where, Err: err}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// Problem is what a node answered instead of what was asked for.
type Problem struct {
	api.Problem
	RetryAfter time.Duration // 0: not said
}

// Hint says what a person can do about it, or "".
func (p *Problem) Hint() string {
	switch p.Code() {
	case "unauthorized":
		if strings.HasPrefix(p.Detail, "the name or the password is wrong") {
			return "" // it was a sign-in
		}
		return "sign in (again) with ihyid login, or give an API token that is good"
	case "forbidden":
		return "an admin of the node can give the role or the scope that this needs"
	case "internal":
		return "the node's log tells more under the request id " + strings.TrimPrefix(p.Instance, "urn:ihyid:request:")
	case "busy", "too-many", "stopping":
		return "try again in a moment"
	case "precondition-failed":
		return "somebody was faster: look at it as it is now, then decide"
	case "unknown-profile":
		if !strings.Contains(p.Detail, "ihyid profiles list") {
			return "ihyid profiles list shows the profiles that this node knows"
		}
	case "unknown-exchange":
		return "ihyid exchange list shows the exchanges of this node"
	case "unknown-peer":
		return "ihyid peers list shows the peers of this node"
	}
	return ""
}

// Error is the detail, every wrong place, and the hint.
func (p *Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.Problem.Error())
	if len(p.Errors) > 1 {
		for _, e := range p.Errors {
			b.WriteString("; ")
			if e.Location != "" {
				b.WriteString(e.Location + ": ")
			}
			b.WriteString(e.Message)
		}
	}
	if h := p.Hint(); h != "" {
		b.WriteString(" (" + h + ")")
	}
	return b.String()
}

// NotRunning says that no node serves a data directory.
type NotRunning struct {
	DataDir string
	Err     error
}

func (e *NotRunning) Error() string {
	if _, err := os.Stat(e.DataDir); errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("there is no node in %s: make one with ihyid init --data %s, then start it with ihyid serve --data %s", e.DataDir, e.DataDir, e.DataDir)
	}
	return fmt.Sprintf("the node in %s is not running: start it with ihyid serve --data %s", e.DataDir, e.DataDir)
}

func (e *NotRunning) Unwrap() error { return e.Err }

// Broken says that the connection to a node failed.
type Broken struct {
	Where string
	Err   error
}

func (e *Broken) Error() string {
	hint := ""
	var unknown x509.UnknownAuthorityError
	if errors.As(e.Err, &unknown) {
		hint = "; if the node's authority is your own, give its certificate with --server-ca"
	}
	return fmt.Sprintf("the connection to the node at %s failed: %v%s", e.Where, e.Err, hint)
}

func (e *Broken) Unwrap() error { return e.Err }
