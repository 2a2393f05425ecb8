package exchange

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"sync"
	"time"
)

const (
	challengeLife     = 10 * time.Minute
	maxUsedChallenges = 1 << 16
	maxUsedBySender   = 1 << 12
	maxUsedByOthers   = 1 << 15 // by all senders that are not registered here
)

// challenges issues challenges and takes each once. A challenge is 32 bytes: when it expires (8, Unix seconds), 8 random ones, and the first 16 of an
// HMAC under a key of this run of the node over these and all that the challenge is bound to. So nothing is kept of one
// until it has been used, by who could sign for it: asking for challenges costs the node no memory, and nobody can
// use up anybody else's. A restart voids them all, and senders ask again.
type challenges struct {
	now  func() time.Time
	rand io.Reader
	key  [32]byte

	mu     sync.Mutex
	used   map[string]usedChallenge
	looked time.Time      // when those that have expired were last looked for
	of     map[string]int // how many of each sender; of all that are not registered under ""
}

type usedChallenge struct {
	until  time.Time // it must be remembered
	sender string
}

func newChallenges(now func() time.Time, random io.Reader) *challenges {
	c := &challenges{now: now, rand: random, used: map[string]usedChallenge{}, of: map[string]int{}}
	rand.Read(c.key[:])
	return c
}

func (c *challenges) mac(head []byte, r ChallengeRequest) []byte {
	m := hmac.New(sha256.New, c.key[:])
	m.Write(head)
	for _, s := range []string{r.Sender, r.Action, r.Exchange} {
		m.Write(binary.BigEndian.AppendUint32(nil, uint32(len(s))))
		m.Write([]byte(s))
	}
	return m.Sum(nil)[:16]
}

// issue makes a challenge for one message of one sender.
func (c *challenges) issue(r ChallengeRequest) (Challenge, error) {
	expires := c.now().Add(challengeLife)
	head := binary.BigEndian.AppendUint64(make([]byte, 0, 32), uint64(expires.Unix()))
	head = head[:16]
	if _, err := io.ReadFull(c.rand, head[8:]); err != nil {
		return Challenge{}, fmt.Errorf("making a challenge: %w", err)
	}
	return Challenge{Challenge: hex.EncodeToString(append(head, c.mac(head, r)...)), Expires: expires.UTC().Truncate(time.Second)}, nil
}

// check says whether the challenge is open for that use. It does not use it up: a forged message must not be able to void
// the challenge of an honest one.
func (c *challenges) check(challenge string, r ChallengeRequest) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.find(challenge, r)
}

// use checks a challenge again and uses it up, once the message that carries it has been verified. No sender, and not all that are not registered here
// together, can take all the room that there is.
func (c *challenges) use(challenge string, r ChallengeRequest, registered bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.find(challenge, r); err != nil {
		return err
	}
	sender, most := r.Sender, maxUsedBySender
	if !registered {
		sender, most = "", maxUsedByOthers
	}
	now := c.now()
	if len(c.used) >= maxUsedChallenges || c.of[sender] >= most {
		c.forget(now)
	}
	if len(c.used) >= maxUsedChallenges || c.of[sender] >= most {
		return fail(CodeTooMany, "this node takes no more messages of yours for now; try again in some minutes")
	}
	c.used[challenge] = usedChallenge{now.Add(challengeLife + time.Minute), sender}
	c.of[sender]++
	return nil
}

// forget drops those that have expired by themselves. It looks at all, at most once a second.
func (c *challenges) forget(now time.Time) {
	if now.Before(c.looked.Add(time.Second)) && !now.Before(c.looked) {
		return
	}
	c.looked = now
	for k, u := range c.used {
		if now.After(u.until) {
			delete(c.used, k)
			if c.of[u.sender]--; c.of[u.sender] <= 0 {
				delete(c.of, u.sender)
			}
		}
	}
}

func (c *challenges) find(challenge string, r ChallengeRequest) error {
	raw, err := hex.DecodeString(challenge)
	if err != nil || len(raw) != 32 || hex.EncodeToString(raw) != challenge || !hmac.Equal(raw[16:], c.mac(raw[:16], r)) {
		return fail(CodeChallenge, "this challenge was not issued here for this sender, message and exchange; ask for a new one")
	}
	if expires := time.Unix(int64(binary.BigEndian.Uint64(raw)), 0); !c.now().Before(expires) {
		return fail(CodeChallenge, "this challenge expired at %s; ask for a new one", expires.UTC().Format(time.RFC3339))
	}
	if _, ok := c.used[challenge]; ok {
		return fail(CodeChallenge, "this challenge has been used; ask for a new one")
	}
	return nil
}
