package exchange

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

// Limits on challenges. They live in memory only: a restart voids them all, and senders ask again.
const (
	challengeLife      = 10 * time.Minute
	challengesTotal    = 8192
	challengesOfSender = 64
)

// challenges are the challenges that this node issued and that nobody has used yet.
type challenges struct {
	mu    sync.Mutex
	now   func() time.Time
	rand  io.Reader
	open  map[[32]byte]challengeFor // by SHA-256 of the challenge: a memory dump holds no usable ones
	count map[string]int            // by sender
}

type challengeFor struct {
	sender, action, exchange string
	expires                  time.Time
}

func newChallenges(now func() time.Time, rand io.Reader) *challenges {
	return &challenges{now: now, rand: rand, open: map[[32]byte]challengeFor{}, count: map[string]int{}}
}

// issue makes a challenge for one message of one sender.
func (c *challenges) issue(r ChallengeRequest) (Challenge, error) {
	var raw [32]byte
	if _, err := io.ReadFull(c.rand, raw[:]); err != nil {
		return Challenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	text := hex.EncodeToString(raw[:])
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if len(c.open) >= challengesTotal || c.count[r.Sender] >= challengesOfSender {
		c.purge(now)
	}
	if len(c.open) >= challengesTotal || c.count[r.Sender] >= challengesOfSender {
		return Challenge{}, fail(CodeTooMany, "too many challenges are open; use or let expire some of them (they last %s)", challengeLife)
	}
	expires := now.Add(challengeLife)
	c.open[sha256.Sum256([]byte(text))] = challengeFor{r.Sender, r.Action, r.Exchange, expires}
	c.count[r.Sender]++
	return Challenge{Challenge: text, Expires: expires.UTC().Truncate(time.Second)}, nil
}

// check says whether the challenge is open for that use. It does not use it up: a forged message must not be able to void
// the challenge of an honest one.
func (c *challenges) check(challenge, sender, action, exchange string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(challenge, sender, action, exchange)
}

// use checks a challenge again and uses it up, once the message that carries it has been verified.
func (c *challenges) use(challenge, sender, action, exchange string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.find(challenge, sender, action, exchange); err != nil {
		return err
	}
	c.remove(sha256.Sum256([]byte(challenge)))
	return nil
}

func (c *challenges) find(challenge, sender, action, exchange string) error {
	f, ok := c.open[sha256.Sum256([]byte(challenge))]
	switch {
	case !ok:
		return fail(CodeChallenge, "this challenge was not issued here, or has been used; ask for a new one")
	case !c.now().Before(f.expires):
		return fail(CodeChallenge, "this challenge expired at %s; ask for a new one", f.expires.UTC().Format(time.RFC3339))
	case f.sender != sender || f.action != action || f.exchange != exchange:
		return fail(CodeChallenge, "this challenge was issued for another sender, message or exchange")
	}
	return nil
}

func (c *challenges) remove(k [32]byte) {
	f := c.open[k]
	delete(c.open, k)
	if c.count[f.sender]--; c.count[f.sender] <= 0 {
		delete(c.count, f.sender)
	}
}

func (c *challenges) purge(now time.Time) {
	for k, f := range c.open {
		if !now.Before(f.expires) {
			c.remove(k)
		}
	}
}
