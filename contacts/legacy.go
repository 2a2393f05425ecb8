package contacts

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"

	"ihyid/contacts/encode"
)

// Soundex gives the original scheme's code of a name, e.g. "H550", or "" for a name without letters. See package encode.
func Soundex(name string) string { return encode.Soundex(name) }

// PhoneticID gives the original scheme's phonetic id: the Soundex codes of first, last, mother's and father's first name and
// the date of birth as YYYYMMDD, joined with "-", e.g. H550-H330-B616-M240-19760507. It is false if any of the five is missing.
func PhoneticID(c *Contact) (string, bool) {
	buf := make([]byte, 0, 4*5+8)
	for f := FirstName; f <= FatherFirstName; f++ {
		n := len(buf)
		buf = encode.AppendSoundex(buf, c.Value(f))
		if len(buf) == n {
			return "", false
		}
		buf = append(buf, '-')
	}
	d := c.DateOfBirth
	if !isDate(d) {
		return "", false
	}
	buf = append(append(append(buf, d[:4]...), d[5:7]...), d[8:]...)
	return string(buf), true
}

// LegacyUscadi is the prototype's anonymous form of a phonetic id: SHA-256 in lower-case hex of the id's UTF-8 bytes followed
// by the noise. In files of the prototype the noise is a string (its "secrets" are hex digits): the noise is then the UTF-8
// bytes of that string, not the bytes that its digits spell.
func LegacyUscadi(phoneticID string, noise []byte) string {
	h := sha256.Sum256(append([]byte(phoneticID), noise...))
	return hex.EncodeToString(h[:])
}

// MaxLegacyWork bounds [CheckAnonymous]: ids times secrets. It is the work of the largest list allowed, 20,000 against 20,000.
const MaxLegacyWork = 400_000_000

// maxLegacyString bounds an id, a uscadi or a secret in [CheckAnonymous]; honest ones have at most 64 bytes.
const maxLegacyString = 256

// ErrTooLarge is returned for lists over their bounds.
var ErrTooLarge = errors.New("contacts: the lists are too large")

// CheckAnonymous answers the prototype's anonymous check: for each uscadi, whether it is the [LegacyUscadi] of one of the
// phonetic ids with one of the secrets. Both lists come without order, so every id is tried with every secret; it uses all cores.
// It fails with [ErrTooLarge] over [MaxLegacyWork], and with the context's error. Uscadis that are not 64 hex digits are unknown.
func CheckAnonymous(ctx context.Context, ids, uscadis, secrets []string) ([]bool, error) {
	if len(secrets) > 0 && len(ids) > MaxLegacyWork/len(secrets) || len(uscadis) > MaxLegacyWork {
		return nil, fmt.Errorf("checking %d ids with %d secrets: %w", len(ids), len(secrets), ErrTooLarge)
	}
	for _, list := range [][]string{ids, secrets} {
		for _, s := range list {
			if len(s) > maxLegacyString {
				return nil, fmt.Errorf("an id or secret over %d bytes: %w", maxLegacyString, ErrTooLarge)
			}
		}
	}
	known := make([]bool, len(uscadis))
	wanted := make(map[[sha256.Size]byte][]int, len(uscadis))
	// Nearly every hash is a miss; two bits of a small filter say so before the map is asked.
	var filter [1 << 16]uint64
	for i, u := range uscadis {
		var h [sha256.Size]byte
		if len(u) != hex.EncodedLen(len(h)) {
			continue
		}
		if _, err := hex.Decode(h[:], []byte(u)); err != nil {
			continue
		}
		wanted[h] = append(wanted[h], i)
		filter[uint16(h[0])|uint16(h[1])<<8] |= 1 << (h[2] & 63)
	}

	var next atomic.Int64
	var wg sync.WaitGroup
	var mu sync.Mutex
	for range min(runtime.GOMAXPROCS(0), max(len(secrets), 1)) {
		wg.Go(func() {
			var buf []byte
			for {
				i := int(next.Add(1)) - 1
				if i >= len(secrets) || ctx.Err() != nil {
					return
				}
				for j, id := range ids {
					if j&0xffff == 0xffff && ctx.Err() != nil {
						return
					}
					buf = append(append(buf[:0], id...), secrets[i]...)
					h := sha256.Sum256(buf)
					if filter[uint16(h[0])|uint16(h[1])<<8]&(1<<(h[2]&63)) == 0 {
						continue
					}
					if rows, ok := wanted[h]; ok {
						mu.Lock()
						for _, row := range rows {
							known[row] = true
						}
						mu.Unlock()
					}
				}
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return known, nil
}
