package api_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"ihyid/api"
	"ihyid/contacts"
	"ihyid/contacts/list"
	"ihyid/exchange"
	"ihyid/exchange/register"
	"ihyid/exchange/register/search"
	"ihyid/kms"
	"ihyid/store/jobs"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ownDID = "did:web:relief.example.org"

// fakeNode answers what a test set, and notes what it was asked.
type fakeNode struct {
	quietSubjects
	document  []byte
	path      string
	challenge func(context.Context, exchange.ChallengeRequest) (exchange.Challenge, error)
	message   func(context.Context, []byte) (exchange.Reply, error)
	putChunk  func(ctx context.Context, token, id, set string, index uint32, body []byte) error
	getChunk  func(ctx context.Context, token, id, set string, index uint32) ([]byte, error)
	peer      func(ctx context.Context, what, did, reason string) (exchange.Peer, error)
	err       error // of everything that has no function of its own
	matches   []exchange.Match
	suspend   func(versions []uint64) (exchange.Peer, error)
	tokens    map[string]string // token → DID of the peer
	listPeers func(exchange.Query) (exchange.Page[exchange.Peer], error)
}

func (n *fakeNode) ProposeAgreement(context.Context, exchange.AgreementRequest) (exchange.Agreement, error) {
	return exchange.Agreement{}, n.err
}
func (n *fakeNode) ListAgreements(context.Context, exchange.Query) (exchange.Page[exchange.Agreement], error) {
	return exchange.Page[exchange.Agreement]{}, n.err
}
func (n *fakeNode) Agreement(context.Context, string) (exchange.Agreement, error) {
	return exchange.Agreement{}, n.err
}
func (n *fakeNode) DecideAgreement(context.Context, string, bool, string, ...uint64) (exchange.Agreement, error) {
	return exchange.Agreement{}, n.err
}
func (n *fakeNode) EndAgreement(context.Context, string, string, ...uint64) (exchange.Agreement, error) {
	return exchange.Agreement{}, n.err
}
func (n *fakeNode) RollEpochs(context.Context, string) (int, error) { return 0, n.err }
func (n *fakeNode) ApproveExchange(context.Context, string, ...uint64) (exchange.Exchange, error) {
	return exchange.Exchange{}, n.err
}
func (n *fakeNode) CancelExchange(context.Context, string, exchange.Cancellation, ...uint64) (exchange.Exchange, error) {
	return exchange.Exchange{}, n.err
}
func (n *fakeNode) ExcuseExchange(context.Context, string, string, ...uint64) (exchange.Exchange, error) {
	return exchange.Exchange{}, n.err
}

func (n *fakeNode) RefuseExchange(context.Context, string, string, ...uint64) (exchange.Exchange, error) {
	return exchange.Exchange{}, n.err
}

func (n *fakeNode) DID() string { return ownDID }
func (n *fakeNode) Organisation() exchange.Organisation {
	return exchange.Organisation{Name: "Relief", RegistrationNumber: "4711", Country: "JO"}
}
func (n *fakeNode) DocumentJSON() []byte {
	if n.document == nil {
		return []byte(`{"id":"` + ownDID + `"}`)
	}
	return n.document
}
func (n *fakeNode) DocumentPath() string {
	if n.path == "" {
		return "/.well-known/did.json"
	}
	return n.path
}
func (n *fakeNode) ask(ctx context.Context, what, did, reason string) (exchange.Peer, error) {
	if n.peer != nil {
		return n.peer(ctx, what, did, reason)
	}
	return exchange.Peer{DID: did, State: exchange.PeerInvited}, n.err
}
func (n *fakeNode) AddPeer(ctx context.Context, did string, e exchange.Organisation) (exchange.Peer, error) {
	return n.ask(ctx, "add", did, e.Name+"/"+e.RegistrationNumber+"/"+e.Country)
}
func (n *fakeNode) Peers(context.Context) ([]exchange.Peer, error) { return nil, n.err }
func (n *fakeNode) ListPeers(_ context.Context, q exchange.Query) (exchange.Page[exchange.Peer], error) {
	if n.listPeers != nil {
		return n.listPeers(q)
	}
	return exchange.Page[exchange.Peer]{}, n.err
}
func (n *fakeNode) Peer(ctx context.Context, did string) (exchange.Peer, error) {
	return n.ask(ctx, "show", did, "")
}
func (n *fakeNode) ApprovePeer(ctx context.Context, did string, _ ...uint64) (exchange.Peer, error) {
	return n.ask(ctx, "approve", did, "")
}
func (n *fakeNode) RefusePeer(ctx context.Context, did, reason string, _ ...uint64) (exchange.Peer, error) {
	return n.ask(ctx, "refuse", did, reason)
}
func (n *fakeNode) SuspendPeer(ctx context.Context, did, reason string, versions ...uint64) (exchange.Peer, error) {
	if n.suspend != nil {
		return n.suspend(versions)
	}
	return n.ask(ctx, "suspend", did, reason)
}
func (n *fakeNode) ResumePeer(ctx context.Context, did string, _ ...uint64) (exchange.Peer, error) {
	return n.ask(ctx, "resume", did, "")
}
func (n *fakeNode) RemovePeer(ctx context.Context, did string, _ ...uint64) error {
	_, err := n.ask(ctx, "remove", did, "")
	return err
}
func (n *fakeNode) Fingerprint(ctx context.Context, did string) (exchange.Fingerprint, error) {
	_, err := n.ask(ctx, "fingerprint", did, "")
	return exchange.Fingerprint{DID: did, Fingerprint: "01234 56789"}, err
}
func (n *fakeNode) ConfirmPeer(ctx context.Context, did, digits string, _ ...uint64) (exchange.Peer, error) {
	return n.ask(ctx, "confirm", did, digits)
}
func (n *fakeNode) Keys(context.Context) ([]exchange.Key, error) { return nil, n.err }
func (n *fakeNode) RotateKey(ctx context.Context, purpose kms.Purpose, o exchange.RotateOptions) (exchange.Key, error) {
	_, err := n.ask(ctx, "rotate", string(purpose), o.Overlap.String())
	return exchange.Key{ID: "new", Purpose: purpose}, err
}
func (n *fakeNode) RetireKey(ctx context.Context, name string) (exchange.Key, error) {
	_, err := n.ask(ctx, "retire", name, "")
	return exchange.Key{ID: name}, err
}
func (n *fakeNode) RotateDataKey(ctx context.Context) (jobs.Job, error) {
	_, err := n.ask(ctx, "rotate-data", "", "")
	return jobs.Job{ID: "7"}, err
}
func (n *fakeNode) RotateWrappingKey(ctx context.Context) error {
	_, err := n.ask(ctx, "rotate-wrapping", "", "")
	return err
}
func (n *fakeNode) Changes(_ context.Context, since string) (exchange.Changes, error) {
	return exchange.Changes{Changes: []exchange.Change{{Document: []byte(`{}`), Statement: []byte(`"` + since + `"`)}}}, n.err
}
func (n *fakeNode) StartExchange(_ context.Context, r exchange.Request) (exchange.Exchange, error) {
	return exchange.Exchange{ID: strings.Repeat("ab", 16), Peer: r.Peer, Profile: r.Profile, Protocol: r.Protocol, Purpose: r.Purpose, State: exchange.StatePreparing}, n.err
}
func (n *fakeNode) ExportStep(_ context.Context, id string, out io.Writer) (exchange.StepFile, error) {
	if n.err == nil {
		_, _ = io.WriteString(out, "sealed")
	}
	return exchange.StepFile{Exchange: id}, n.err
}
func (n *fakeNode) ImportStep(_ context.Context, in io.Reader) (exchange.StepFile, error) {
	if _, err := io.Copy(io.Discard, in); err != nil {
		return exchange.StepFile{}, err
	}
	return exchange.StepFile{Exchange: strings.Repeat("ab", 16), Number: 1}, n.err
}
func (n *fakeNode) ListExchanges(context.Context, exchange.Query) (exchange.Page[exchange.Exchange], error) {
	return exchange.Page[exchange.Exchange]{}, n.err
}
func (n *fakeNode) CountExchanges(context.Context) (uint64, error) { return 0, n.err }
func (n *fakeNode) Exchange(_ context.Context, id string) (exchange.Exchange, error) {
	return exchange.Exchange{ID: id}, n.err
}
func (n *fakeNode) Matches(context.Context, string) ([]exchange.Match, error) {
	return n.matches, n.err
}
func (n *fakeNode) Presentations(context.Context, string) (map[string]json.RawMessage, error) {
	return map[string]json.RawMessage{"opening": []byte(`{"a":1}`)}, n.err
}
func (n *fakeNode) ListReceipts(context.Context, exchange.Query) (exchange.Page[exchange.ReceiptInfo], error) {
	return exchange.Page[exchange.ReceiptInfo]{}, n.err
}
func (n *fakeNode) Receipt(context.Context, string) ([]byte, error) {
	return []byte("{ \"spaces\":  \"stay\" }\n"), n.err
}
func (n *fakeNode) Challenge(ctx context.Context, r exchange.ChallengeRequest) (exchange.Challenge, error) {
	if n.challenge != nil {
		return n.challenge(ctx, r)
	}
	return exchange.Challenge{Challenge: strings.Repeat("0", 64)}, n.err
}
func (n *fakeNode) Message(ctx context.Context, p []byte) (exchange.Reply, error) {
	if n.message != nil {
		return n.message(ctx, p)
	}
	return exchange.Reply{Presentation: []byte(`{}`)}, n.err
}
func (n *fakeNode) TokenPeer(_ context.Context, token, _ string) (string, error) {
	if did, ok := n.tokens[token]; ok || n.tokens == nil {
		return did, nil
	}
	return "", &exchange.Error{Code: exchange.CodeToken, Detail: "no such token"}
}
func (n *fakeNode) PutChunk(ctx context.Context, token, id, set string, index uint32, body []byte) error {
	if n.putChunk != nil {
		return n.putChunk(ctx, token, id, set, index, body)
	}
	return n.err
}
func (n *fakeNode) GetChunk(ctx context.Context, token, id, set string, index uint32) ([]byte, error) {
	if n.getChunk != nil {
		return n.getChunk(ctx, token, id, set, index)
	}
	return []byte{0, 1, 2, 255}, n.err
}
func (n *fakeNode) Progress(context.Context, string, string) (exchange.Progress, error) {
	return exchange.Progress{State: exchange.StateMatching, Done: 1, Total: 2}, n.err
}

// fakeRegister is the same for contacts.
type fakeRegister struct {
	quietRegister
	startImport func(context.Context, io.Reader, api.ImportOptions) (jobs.Job, error)
	export      func(context.Context, io.Writer) error
	list        func(after uint64, limit int) ([]register.Stored, error)
	report      func(from, limit int) ([]register.Outcome, int, error)
	get         func(id uint64) (register.Stored, error)
	err         error
}

func (f *fakeRegister) StartImport(ctx context.Context, body io.Reader, o api.ImportOptions, _ string) (jobs.Job, error) {
	if f.startImport != nil {
		return f.startImport(ctx, body, o)
	}
	_, err := io.Copy(io.Discard, body)
	return jobs.Job{ID: "1", Kind: register.JobImport, State: jobs.Queued, Params: []byte(`{"spool":"private"}`)}, errors.Join(err, f.err)
}
func (f *fakeRegister) ImportReport(_ context.Context, _ string, from, limit int) ([]register.Outcome, int, error) {
	if f.report != nil {
		return f.report(from, limit)
	}
	return nil, 0, f.err
}
func (f *fakeRegister) List(_ context.Context, after uint64, limit int) ([]register.Stored, error) {
	if f.list != nil {
		return f.list(after, limit)
	}
	return nil, f.err
}
func (f *fakeRegister) Get(_ context.Context, id uint64) (register.Stored, error) {
	if f.get != nil {
		return f.get(id)
	}
	return register.Stored{ID: id, Contact: contacts.Contact{FirstName: "Houman", LastName: "Haddad"}}, f.err
}
func (f *fakeRegister) Count(context.Context) (uint64, error) { return 7, f.err }
func (f *fakeRegister) Duplicates(context.Context, string, int) ([]register.DuplicatePair, error) {
	return nil, f.err
}
func (f *fakeRegister) Export(ctx context.Context, w io.Writer, _ list.Format) error {
	if f.export != nil {
		return f.export(ctx, w)
	}
	_, err := io.WriteString(w, "first_name\r\nHouman\r\n")
	return errors.Join(err, f.err)
}
func (f *fakeRegister) CheckAnonymous(_ context.Context, uscadis, _ []string) ([]bool, error) {
	return make([]bool, len(uscadis)), f.err
}

// fakeJobs is the same for jobs.
type fakeJobs struct {
	get   func() jobs.Job
	list  func(jobs.Filter) ([]jobs.Job, error)
	watch func(context.Context, string) (<-chan jobs.Job, error)
	err   error
}

func (f *fakeJobs) List(_ context.Context, q jobs.Filter) ([]jobs.Job, error) {
	if f.list != nil {
		return f.list(q)
	}
	return nil, f.err
}
func (f *fakeJobs) Get(_ context.Context, id string) (jobs.Job, error) {
	if f.get != nil {
		return f.get(), f.err
	}
	return jobs.Job{ID: id, State: jobs.Running, Cursor: []byte(`"private"`)}, f.err
}
func (f *fakeJobs) Cancel(_ context.Context, id string) (jobs.Job, error) {
	return jobs.Job{ID: id, State: jobs.Cancelled}, f.err
}
func (f *fakeJobs) Watch(ctx context.Context, id string) (<-chan jobs.Job, error) {
	return f.watch(ctx, id)
}

// logged collects a server's log.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// running is a server that serves on real listeners.
type running struct {
	server *api.Server
	node   *fakeNode
	reg    *fakeRegister
	jobs   *fakeJobs
	log    *logged
	data   string // directory of the socket
	url    string // of the public side
	public *http.Client
	local  *http.Client // any host
	stop   func()       // begins the end
	ended  chan error
}

type option func(*api.Options)

func withLimits(l api.Limits) option { return func(o *api.Options) { o.Limits = l } }

// serve runs a server on a TLS listener on loopback and on a Unix socket until the test ends.
func serve(t testing.TB, node *fakeNode, opts ...option) *running {
	t.Helper()
	r := &running{node: node, reg: &fakeRegister{}, jobs: &fakeJobs{}, log: &logged{}, data: t.TempDir(), ended: make(chan error, 1)}
	profile, err := contacts.BuiltinProfile("soundex/1")
	if err != nil {
		t.Fatal(err)
	}
	o := api.Options{
		Node: node, Register: r.reg, Jobs: r.jobs, Profiles: map[string]*contacts.Profile{profile.Name(): profile},
		Search:  searchFunc(func(search.Query, uint64, int) (search.Page, error) { return search.Page{}, nil }),
		Version: "test", Logger: slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
	}
	for _, f := range opts {
		f(&o)
	}
	if r.server, err = api.New(o); err != nil {
		t.Fatal(err)
	}
	certFile, keyFile, roots := certificate(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	r.stop = cancel
	public, err := api.ListenTLS(ctx, "127.0.0.1:0", certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	socket, err := api.ListenSocket(ctx, r.data)
	if err != nil {
		t.Fatal(err)
	}
	go func() { r.ended <- r.server.Serve(ctx, api.Listeners{Public: public, Local: socket}) }()
	r.url = "https://" + public.Addr().String()
	r.public = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	r.local = &http.Client{
		Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return api.DialSocket(ctx, r.data) }},
	}
	t.Cleanup(func() {
		r.public.CloseIdleConnections()
		r.local.CloseIdleConnections()
		cancel()
		if err := <-r.ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
		r.ended <- nil
	})
	return r
}

// certificate makes a self-signed certificate for 127.0.0.1 in two files.
func certificate(t testing.TB, dir string) (certFile, keyFile string, roots *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for name, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AddCert(cert)
	return certFile, keyFile, roots
}

// ask sends a request with the headers given in pairs, and gives the answer whole.
func ask(t testing.TB, c *http.Client, method, url string, body io.Reader, headers ...string) (*http.Response, []byte) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := c.Do(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the answer: %v", method, url, err)
	}
	return resp, data
}

// wantProblem holds an answer against the form of every problem, and its code.
func wantProblem(t testing.TB, resp *http.Response, body []byte, status int, code string) api.Problem {
	t.Helper()
	var p api.Problem
	if resp.StatusCode != status {
		t.Errorf("status %d, want %d; body %s", resp.StatusCode, status, body)
	}
	if ct := resp.Header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("content type %q of a problem; body %s", ct, body)
	}
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("problem %q: %v", body, err)
	}
	if p.Type != "urn:ihyid:problem:"+code || p.Status != resp.StatusCode || p.Title == "" {
		t.Errorf("problem %s, want code %s", body, code)
	}
	if want := "urn:ihyid:request:" + resp.Header.Get(api.RequestHeader); p.Instance != want || want == "urn:ihyid:request:" {
		t.Errorf("instance %q, want %q", p.Instance, want)
	}
	return p
}
