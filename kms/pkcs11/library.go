//go:build cgo && !nopkcs11

package pkcs11

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/ThalesIgnite/crypto11"
	"github.com/miekg/pkcs11"

	"ihyid/kms"
)

// library is one PKCS #11 library. Such a library belongs to the whole process:
// C_Initialize and C_Finalize, the log-in to a token and the view of the slots are
// shared by all who use it. So there is one of these for each, whatever number
// of stores stand on it, and it stays loaded.
type library struct {
	path string
	pins *pinMemory

	mu    sync.Mutex // held while connections are opened and closed
	raw   *pkcs11.Ctx
	conns map[*conn]struct{} // open ones; the library is initialised while there are any
}

var libraries struct {
	sync.Mutex
	byPath map[string]*library
}

func load(path string) (*library, error) {
	// crypto11 counts its users by path, so one library must not have two.
	if strings.ContainsRune(path, filepath.Separator) {
		p, err := filepath.EvalSymlinks(path)
		if err == nil {
			p, err = filepath.Abs(p)
		}
		if err != nil {
			return nil, fmt.Errorf("load the PKCS #11 library: %w", err)
		}
		path = p
	}
	libraries.Lock()
	defer libraries.Unlock()
	if l := libraries.byPath[path]; l != nil {
		return l, nil
	}
	raw := pkcs11.New(path)
	if raw == nil {
		return nil, fmt.Errorf("load the PKCS #11 library: %s cannot be loaded", path)
	}
	l := &library{path: path, raw: raw, pins: newPINMemory(), conns: make(map[*conn]struct{})}
	if libraries.byPath == nil {
		libraries.byPath = make(map[string]*library)
	}
	libraries.byPath[path] = l
	return l, nil
}

// with runs f while the library is initialised. The caller holds mu.
func (l *library) with(f func() error) error {
	if len(l.conns) == 0 {
		if err := l.raw.Initialize(); err != nil {
			return fmt.Errorf("initialise the PKCS #11 library: %w", err)
		}
		defer l.raw.Finalize()
	}
	return f()
}

// connect opens the token for a store. If that fails, and other connections
// keep the library from looking at its slots anew, and restart is set, it ends
// those: their stores open them again when they next need them.
func (l *library) connect(ctx context.Context, o *Options, pin string, restart bool) (*conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, err := l.tryConnect(ctx, o, pin)
	if err == nil || len(l.conns) == 0 || !restart {
		return c, err
	}
	var code pkcs11.Error
	if !errors.Is(err, ErrTokenNotFound) && !errors.As(err, &code) || pinFault(err) != nil {
		return nil, err
	}
	for c := range l.conns {
		l.shut(c)
	}
	return l.tryConnect(ctx, o, pin)
}

// tryConnect finds out all that can be wrong before it calls crypto11, because
// that, when it fails, finalises the library under all other stores.
func (l *library) tryConnect(ctx context.Context, o *Options, pin string) (*conn, error) {
	var found token
	err := l.with(func() error {
		all, err := l.tokens()
		if err != nil {
			return err
		}
		if found, err = pick(all, o); err != nil {
			return err
		}
		if err := l.suits(found); err != nil {
			return err
		}
		return l.login(ctx, o, found, pin)
	})
	if err != nil {
		return nil, err
	}
	n := budget(o.MaxSessions, found.info)
	cfg := &crypto11.Config{Path: l.path, Pin: pin, MaxSessions: n.crypto11, PoolWaitTimeout: o.WaitLimit, GCMIVLength: 12}
	if found.unique {
		cfg.TokenSerial = found.info.SerialNumber // slots may be numbered anew
	} else {
		slot := int(found.slot)
		cfg.SlotNumber = &slot
	}
	p11, err := crypto11.Configure(cfg)
	if err != nil {
		if p := pinFault(errors.Unwrap(err)); p != nil {
			err = p
		}
		return nil, fmt.Errorf("open the token %s: %w", o.token(), err)
	}
	c := newConn(l, p11, n, o)
	l.conns[c] = struct{}{}
	if err := c.start(found); err != nil {
		l.shut(c)
		return nil, fmt.Errorf("open the token %s: %w", o.token(), err)
	}
	return c, nil
}

// release closes a connection, once what runs on it has ended.
func (l *library) release(c *conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shut(c)
}

func (l *library) shut(c *conn) {
	if _, open := l.conns[c]; open {
		delete(l.conns, c)
		c.shut()
	}
}

type token struct {
	slot   uint
	info   pkcs11.TokenInfo
	unique bool // no other token has its serial number
}

// tokens lists what is in the slots. A token that cannot be asked is left out:
// it must not stand in the way of the others.
func (l *library) tokens() ([]token, error) {
	slots, err := l.raw.GetSlotList(true)
	if err != nil {
		return nil, fmt.Errorf("list the slots: %w", err)
	}
	var all []token
	serials := make(map[string]int)
	for _, slot := range slots {
		if info, err := l.raw.GetTokenInfo(slot); err == nil {
			all = append(all, token{slot: slot, info: info})
			serials[info.SerialNumber]++
		}
	}
	for i := range all {
		all[i].unique = all[i].info.SerialNumber != "" && serials[all[i].info.SerialNumber] == 1
	}
	return all, nil
}

// pick chooses the one token that is asked for. crypto11 would take the first of several.
func pick(all []token, o *Options) (token, error) {
	var fits []token
	for _, t := range all {
		if t.info.Flags&pkcs11.CKF_TOKEN_INITIALIZED == 0 {
			continue
		}
		if o.Slot != nil && t.slot == *o.Slot || o.TokenLabel != "" && t.info.Label == o.TokenLabel ||
			o.TokenSerial != "" && t.info.SerialNumber == o.TokenSerial {
			fits = append(fits, t)
		}
	}
	switch len(fits) {
	case 1:
		return fits[0], nil
	case 0:
		return token{}, fmt.Errorf("%w: none %s among the %d that are there", ErrTokenNotFound, o.token(), len(all))
	}
	return token{}, fmt.Errorf("%w: %d are %s; choose by serial number", ErrTokenAmbiguous, len(fits), o.token())
}

// suits checks that the token can do what a key store needs.
func (l *library) suits(t token) error {
	list, err := l.raw.GetMechanismList(t.slot)
	if err != nil {
		return fmt.Errorf("list the token's mechanisms: %w", err)
	}
	has := make(map[uint]bool)
	for _, m := range list {
		has[m.Mechanism] = true
	}
	for name, m := range map[string]uint{"CKM_ECDSA": pkcs11.CKM_ECDSA, "CKM_EC_KEY_PAIR_GEN": pkcs11.CKM_EC_KEY_PAIR_GEN,
		"CKM_AES_KEY_GEN": pkcs11.CKM_AES_KEY_GEN, "CKM_AES_GCM": pkcs11.CKM_AES_GCM} {
		if !has[m] {
			return fmt.Errorf("%w: the token does not offer %s", kms.ErrUnsupported, name)
		}
	}
	return nil
}

// login offers the PIN to the token, once. crypto11 is given only a PIN that
// has been found good.
func (l *library) login(ctx context.Context, o *Options, t token, pin string) error {
	flags := t.info.Flags
	switch {
	case flags&pkcs11.CKF_USER_PIN_INITIALIZED == 0:
		return fmt.Errorf("%w: the token has no user PIN yet", ErrPINLocked)
	case flags&pkcs11.CKF_USER_PIN_LOCKED != 0:
		return fmt.Errorf("%w: it is locked; the security officer can set a new one", ErrPINLocked)
	case flags&pkcs11.CKF_USER_PIN_FINAL_TRY != 0 && !o.UseFinalTry:
		return fmt.Errorf("%w: one more wrong PIN would lock the token; log in with the token's own tool first", ErrPINLocked)
	}
	if err := l.pins.check(o.PINMemory, t.info.SerialNumber, pin); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	session, err := l.raw.OpenSession(t.slot, pkcs11.CKF_SERIAL_SESSION|pkcs11.CKF_RW_SESSION)
	if err != nil {
		return fmt.Errorf("open a session: %w", err)
	}
	defer l.raw.CloseSession(session)
	err = l.raw.Login(session, pkcs11.CKU_USER, pin)
	var code pkcs11.Error
	if errors.As(err, &code) && code == pkcs11.CKR_USER_ALREADY_LOGGED_IN {
		return nil // by another store of this process
	}
	if refused := pinFault(err); refused != nil {
		if err := l.pins.remember(o.PINMemory, t.info.SerialNumber, pin, time.Now()); err != nil {
			return fmt.Errorf("%w; it could not be kept in %s, so do not restart before it is corrected: %w", refused, o.PINMemory, err)
		}
		return refused
	}
	if err != nil {
		return fmt.Errorf("log in: %w", err)
	}
	l.pins.forget(o.PINMemory, t.info.SerialNumber)
	return nil
}

// sessions says how many of the sessions go where.
type sessions struct {
	crypto11 int // given to it: one it keeps, one is for key generation, the rest sign
	sign     int
	raw      int // to wrap and unwrap
}

// budget shares out at most limit sessions, or what the token has. One is for
// managing keys and one for health checks.
func budget(limit int, info pkcs11.TokenInfo) sessions {
	for _, m := range []uint{info.MaxRwSessionCount, info.MaxSessionCount} {
		// 0 is CK_EFFECTIVELY_INFINITE, and all ones is CK_UNAVAILABLE_INFORMATION.
		if m != pkcs11.CK_EFFECTIVELY_INFINITE && m != pkcs11.CK_UNAVAILABLE_INFORMATION && m < uint(limit) {
			limit = int(m)
		}
	}
	limit = max(limit, minSessions) // a token with fewer will say so itself
	n := sessions{raw: min(max(limit/8, 2), 4)}
	n.crypto11 = limit - n.raw - 2
	n.sign = n.crypto11 - 2
	return n
}
