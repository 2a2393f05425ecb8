package accounts

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"ihyid/store"
)

// What failed sign-ins cost.
const (
	freeOfName    = 3  // failures of a name that cost nothing
	freeOfAddress = 20 // of an address, which a whole office may share
	// MaxDelay is the longest that anybody has to wait.
	MaxDelay = 15 * time.Minute

	forgetName    = 24 * time.Hour // after the last failure
	forgetAddress = time.Hour

	maxDelays = 1 << 16 // entries; each is small
	maxKnown  = 8       // addresses of an account that do not wait for what others did
)

// delay is what is kept of the failures of one name or address, whether an account has that name or not.
type delay struct {
	Count int       `json:"count"`
	Last  time.Time `json:"last"`
	Until time.Time `json:"until,omitzero"`
	Name  bool      `json:"name,omitempty"`
}

func (d *delay) forgotten(now time.Time) bool {
	if d.Name {
		return now.Sub(d.Last) > forgetName
	}
	return now.Sub(d.Last) > forgetAddress
}

// delays are those of all names and addresses, by keyed hash.
type delays struct {
	mu   sync.Mutex
	kept map[string]delay
}

// wait is how long the attempt after the n-th has to wait.
func wait(n, free int) time.Duration {
	if n <= free {
		return 0
	}
	if n-free > 10 {
		return MaxDelay
	}
	return min(time.Second<<(n-free-1), MaxDelay)
}

// attempt is a sign-in that has been counted as a failure until it is forgiven.
type attempt struct{ name, address string }

// begin counts an attempt of a name (normal) from an address, or refuses it with a DelayError. known: the account has signed
// in from that address before, so that the name's delay does not matter. The count is durable before begin returns.
func (a *Accounts) begin(ctx context.Context, name, address string, known bool) (attempt, error) {
	t := attempt{a.keyed("name", name), a.keyed("address", networkOf(address))}
	now := a.now()
	a.delays.mu.Lock()
	defer a.delays.mu.Unlock()
	d := a.delays.kept
	var longest time.Duration
	for _, key := range []string{t.name, t.address} {
		e := d[key]
		if key == t.name && known || e.forgotten(now) {
			continue
		}
		longest = max(longest, e.Until.Sub(now))
	}
	if longest > 0 {
		return t, &DelayError{Wait: longest.Truncate(time.Second) + time.Second}
	}
	changed := map[string]delay{}
	for _, key := range []string{t.name, t.address} {
		e, free := d[key], freeOfAddress
		if e.forgotten(now) {
			e = delay{}
		}
		if key == t.name {
			free = freeOfName
		}
		e.Count, e.Last, e.Name = e.Count+1, now, key == t.name
		e.Until = now.Add(wait(e.Count, free))
		changed[key] = e
	}
	return t, a.keepDelays(ctx, changed, a.superfluous(now, len(changed)))
}

// superfluous names entries to drop so that n more have room: what is forgotten, then what is oldest.
func (a *Accounts) superfluous(now time.Time, n int) (drop []string) {
	d := a.delays.kept
	if len(d)+n <= maxDelays {
		return nil
	}
	keys := make([]string, 0, len(d))
	for k, e := range d {
		if e.forgotten(now) {
			drop = append(drop, k)
		} else {
			keys = append(keys, k)
		}
	}
	if len(drop) == 0 {
		slices.SortFunc(keys, func(x, y string) int { return d[x].Last.Compare(d[y].Last) })
		drop = keys[:maxDelays/16]
	}
	return drop
}

// keepDelays stores entries and removes others; the lock is held. It is no change that is recorded: the sign-in is.
func (a *Accounts) keepDelays(ctx context.Context, put map[string]delay, drop []string) error {
	ctx = store.Accompany(context.WithoutCancel(ctx), nil)
	return a.store.Update(ctx, func(tx *store.Tx) error {
		for k, e := range put {
			if err := a.kept.delays.Put(tx, []byte(k), e); err != nil {
				return err
			}
		}
		for _, k := range drop {
			if err := a.kept.delays.Delete(tx, []byte(k)); err != nil {
				return err
			}
		}
		tx.OnCommit(func() {
			for _, k := range drop {
				delete(a.delays.kept, k)
			}
			for k, e := range put {
				a.delays.kept[k] = e
			}
		})
		return nil
	})
}

// forgive takes back what begin counted: the attempt was the owner's. Failures of the address by others stay.
func (a *Accounts) forgive(ctx context.Context, t attempt) error {
	a.delays.mu.Lock()
	defer a.delays.mu.Unlock()
	e := a.delays.kept[t.address]
	if e.Count--; e.Count <= 0 {
		return a.keepDelays(ctx, nil, []string{t.name, t.address})
	}
	e.Until = time.Time{}
	if w := wait(e.Count, freeOfAddress); w > 0 {
		e.Until = e.Last.Add(w)
	}
	return a.keepDelays(ctx, map[string]delay{t.address: e}, []string{t.name})
}

// excuse takes back one attempt that was no failure and proved too little to forgive what was before: a right password, for which the second factor was not given yet.
func (a *Accounts) excuse(ctx context.Context, t attempt) error {
	a.delays.mu.Lock()
	defer a.delays.mu.Unlock()
	put, drop := map[string]delay{}, []string{}
	for key, free := range map[string]int{t.name: freeOfName, t.address: freeOfAddress} {
		e := a.delays.kept[key]
		if e.Count--; e.Count <= 0 {
			drop = append(drop, key)
			continue
		}
		e.Until = time.Time{}
		if w := wait(e.Count, free); w > 0 {
			e.Until = e.Last.Add(w)
		}
		put[key] = e
	}
	return a.keepDelays(ctx, put, drop)
}

// networkOf gives what stands for an address: itself, and for IPv6 the /64 that one subscriber has.
func networkOf(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return "unknown"
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip.String()
	}
	p, err := ip.Prefix(64)
	if err != nil {
		return "unknown"
	}
	return p.String()
}

// knownFrom gives the list of known addresses with one more, the oldest dropped.
func knownFrom(list []string, address string) []string {
	out := slices.DeleteFunc(slices.Clone(list), func(k string) bool { return k == address })
	out = append(out, address)
	return out[max(0, len(out)-maxKnown):]
}
