//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
	"ihyid/kms/internal/envelope"
)

// conn is one connection to a token, from log-in until anything is lost. It is
// never mended: a new one takes its place.
type conn struct {
	lib   *library
	p11   *crypto11.Context
	wait  time.Duration
	bare  bool // no session copies
	slot  uint
	token pkcs11.TokenInfo
	mark  string // CKA_LABEL of this connection's session copies

	use  sync.RWMutex  // read-locked by what runs, locked to close
	dead bool          // guarded by use
	gone chan struct{} // closed when it is about to be closed, so that nobody waits for it

	sign  chan struct{} // room for a signature
	raw   chan session  // sessions to wrap with
	admin chan session  // the one session to manage keys; it also keeps the session copies alive

	probing sync.Mutex // health checks have one session

	mu       sync.Mutex
	copies   map[envelope.ID]pkcs11.ObjectHandle
	signers  map[envelope.ID]crypto11.Signer
	proved   map[envelope.ID]pubKey // public keys that their private halves answered for
	wrapping []wrappingKey          // oldest first
}

// session is a slot for a session: where an operation failed within one, it is
// closed, and opened again by who takes it next.
type session struct {
	handle pkcs11.SessionHandle
	open   bool
}

var errDead = errors.New("the connection to the token was closed")

func newConn(l *library, p11 *crypto11.Context, n sessions, o *Options) *conn {
	c := &conn{
		lib: l, p11: p11, wait: o.WaitLimit, bare: o.NoCopies,
		gone: make(chan struct{}), sign: make(chan struct{}, n.sign), raw: make(chan session, n.raw), admin: make(chan session, 1),
		copies: make(map[envelope.ID]pkcs11.ObjectHandle), signers: make(map[envelope.ID]crypto11.Signer), proved: make(map[envelope.ID]pubKey),
	}
	for range n.sign {
		c.sign <- struct{}{}
	}
	for range n.raw {
		c.raw <- session{}
	}
	c.admin <- session{}
	return c
}

// start finds the token again, which the library may have put in another slot,
// and reads its wrapping keys.
func (c *conn) start(t token) error {
	id, err := envelope.NewID(nil)
	if err != nil {
		return err
	}
	c.mark = "ihyid session copy " + id.String()
	all, err := c.lib.tokens()
	if err != nil {
		return err
	}
	o := Options{TokenSerial: t.info.SerialNumber}
	if !t.unique {
		o = Options{Slot: &t.slot}
	}
	if t, err = pick(all, &o); err != nil {
		return err
	}
	c.slot, c.token = t.slot, t.info
	return c.withAdmin(context.Background(), func(s pkcs11.SessionHandle) error {
		info, err := c.lib.raw.GetSessionInfo(s)
		if err != nil {
			return err
		}
		if info.State != pkcs11.CKS_RW_USER_FUNCTIONS {
			return fmt.Errorf("the session is in state %d, not logged in", info.State)
		}
		return c.loadWrapping(s)
	})
}

// shut closes the connection after what runs on it has ended. Errors are of no
// interest: what they could report is lost anyway.
func (c *conn) shut() {
	close(c.gone)
	c.use.Lock()
	defer c.use.Unlock()
	c.dead = true
	for _, pool := range []chan session{c.raw, c.admin} {
		for range cap(pool) {
			if s := <-pool; s.open {
				_ = c.lib.raw.CloseSession(s.handle)
			}
		}
	}
	_ = c.p11.Close()
}

// run runs f unless the connection was closed, and keeps it open meanwhile.
func (c *conn) run(f func() error) error {
	c.use.RLock()
	defer c.use.RUnlock()
	if c.dead {
		return errDead
	}
	return f()
}

// take gets something from a pool within the wait limit. ErrBusy.
func take[T any](ctx context.Context, c *conn, pool chan T) (T, error) {
	select {
	case v := <-pool:
		return v, nil
	default:
	}
	limit := time.NewTimer(c.wait)
	defer limit.Stop()
	var none T
	select {
	case v := <-pool:
		return v, nil
	case <-c.gone:
		return none, errDead
	case <-ctx.Done():
		return none, ctx.Err()
	case <-limit.C:
		return none, fmt.Errorf("%w: no session with the token became free within %v", kms.ErrBusy, c.wait)
	}
}

// withAdmin runs f with the session that manages keys. It survives errors,
// because the session copies live by it.
func (c *conn) withAdmin(ctx context.Context, f func(pkcs11.SessionHandle) error) error {
	s, err := take(ctx, c, c.admin)
	if err != nil {
		return err
	}
	defer func() { c.admin <- s }()
	if s, err = c.opened(s); err != nil {
		return err
	}
	return f(s.handle)
}

// withRaw runs f with a session to wrap with. After an error the session could
// have an operation under way, so it is given up.
func (c *conn) withRaw(ctx context.Context, f func(pkcs11.SessionHandle) error) error {
	s, err := take(ctx, c, c.raw)
	if err != nil {
		return err
	}
	defer func() { c.raw <- s }()
	if s, err = c.opened(s); err != nil {
		return err
	}
	if err = f(s.handle); err != nil {
		_ = c.lib.raw.CloseSession(s.handle)
		s = session{}
	}
	return err
}

func (c *conn) opened(s session) (session, error) {
	if s.open {
		return s, nil
	}
	h, err := c.lib.raw.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return session{}, fmt.Errorf("open a session: %w", err)
	}
	return session{handle: h, open: true}, nil
}

// lost tells whether err means that the connection is of no use any more.
func (c *conn) lost(err error) bool {
	if errors.Is(err, errDead) {
		return true
	}
	switch judge(err) {
	case lost:
		return true
	case suspect:
		return c.run(c.alive) != nil
	}
	if errors.Is(err, kms.ErrKeyNotFound) {
		// SoftHSM answers a search in a token that is gone with no objects, not
		// with an error.
		return c.run(c.alive) != nil
	}
	return false
}

// alive looks whether the token is there, we are logged in, and it holds our
// wrapping key. It is called within run.
func (c *conn) alive() error {
	c.probing.Lock()
	defer c.probing.Unlock()
	raw := c.lib.raw
	info, err := raw.GetTokenInfo(c.slot)
	if err != nil {
		return err
	}
	if info.SerialNumber != c.token.SerialNumber {
		return fmt.Errorf("%w: another one is in its slot", ErrTokenNotFound)
	}
	s, err := raw.OpenSession(c.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return err
	}
	defer raw.CloseSession(s)
	state, err := raw.GetSessionInfo(s)
	if err != nil {
		return err
	}
	if state.State != pkcs11.CKS_RW_USER_FUNCTIONS {
		return pkcs11.Error(pkcs11.CKR_USER_NOT_LOGGED_IN)
	}
	active, err := c.activeWrapping()
	if err != nil {
		return nil // a store that is being created
	}
	found, err := c.find(s, pkcs11.CKO_SECRET_KEY, &active.id)
	if err == nil && len(found) == 0 {
		err = fmt.Errorf("%w: the wrapping key is gone from the token", ErrNotFound)
	}
	return err
}

// find lists token objects of a class, of one id or of all.
func (c *conn) find(s pkcs11.SessionHandle, class uint, id *envelope.ID) (found []pkcs11.ObjectHandle, err error) {
	raw := c.lib.raw
	template := []*pkcs11.Attribute{pkcs11.NewAttribute(pkcs11.CKA_CLASS, class), pkcs11.NewAttribute(pkcs11.CKA_TOKEN, true)}
	if id != nil {
		template = append(template, pkcs11.NewAttribute(pkcs11.CKA_ID, id[:]))
	}
	if err := raw.FindObjectsInit(s, template); err != nil {
		return nil, fmt.Errorf("look for keys: %w", err)
	}
	defer func() {
		if e := raw.FindObjectsFinal(s); e != nil && err == nil {
			err = fmt.Errorf("look for keys: %w", e)
		}
	}()
	for {
		some, _, err := raw.FindObjects(s, 100)
		if err != nil {
			return nil, fmt.Errorf("look for keys: %w", err)
		}
		if len(some) == 0 {
			return found, nil
		}
		found = append(found, some...)
	}
}
