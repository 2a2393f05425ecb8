package noise

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"ihyid/exchange/answer"
	"ihyid/exchange/merkle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// digestsOf returns the digests of the numbers first up to last.
func digestsOf(first, last int) [][32]byte {
	out := make([][32]byte, 0, last-first)
	for i := first; i < last; i++ {
		out = append(out, sha256.Sum256(binary.BigEndian.AppendUint64(nil, uint64(i))))
	}
	return out
}

func mac(key []byte, messages ...[]byte) []byte {
	m := hmac.New(sha256.New, key)
	for _, b := range messages {
		m.Write(b)
	}
	return m.Sum(nil)
}

func mustBuild(t testing.TB, digests [][32]byte, seed byte) *Set {
	t.Helper()
	s, err := Build(digests, [32]byte{seed})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBuild(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 257, 5000} {
		digests := digestsOf(0, n)
		s := mustBuild(t, digests, 1)
		if s.Len() != int(merkle.PaddedCount(uint64(n))) || len(s.Entries) != s.Len()*EntrySize {
			t.Fatalf("%d digests: %d entries in %d bytes", n, s.Len(), len(s.Entries))
		}
		// Commit refuses what is not strictly ascending.
		if _, err := merkle.Commit(s.Entries, EntrySize); err != nil {
			t.Fatal(err)
		}
		seen := make(map[int]bool)
		for i := range s.Len() {
			entry := s.Entries[i*EntrySize : (i+1)*EntrySize]
			d, ok := s.Digest(i)
			if !ok {
				continue
			}
			seen[d] = true
			if !bytes.Equal(mac(entry[:32], digests[d][:]), entry[32:]) {
				t.Fatalf("entry %d does not hold the uscadi of digest %d", i, d)
			}
		}
		if len(seen) != n {
			t.Fatalf("%d of %d digests are in the set", len(seen), n)
		}
		if _, ok := s.Digest(s.Len()); ok {
			t.Error("an entry beyond the end has a digest")
		}
		if _, ok := s.Digest(-1); ok {
			t.Error("entry -1 has a digest")
		}
	}
}

func TestBuildIsAFunctionOfTheSet(t *testing.T) {
	digests := digestsOf(0, 700)
	a := mustBuild(t, digests, 1)
	shuffled := slices.Clone(digests)
	rand.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	b := mustBuild(t, shuffled, 1)
	if !bytes.Equal(a.Entries, b.Entries) {
		t.Error("the order of the digests shows in the set")
	}
	other := mustBuild(t, digests, 2)
	noises := make(map[[32]byte]bool)
	for i := range a.Len() {
		noises[[32]byte(a.Entries[i*EntrySize:])] = true
		noises[[32]byte(other.Entries[i*EntrySize:])] = true
	}
	if len(noises) != a.Len()+other.Len() {
		t.Error("two sets, or two entries of a set, share a noise")
	}
}

// testDigests is how many digests fill a set of DefaultMaxEntries.
const testDigests = 20_000

func TestBuildRefuses(t *testing.T) {
	if _, err := Build(append(digestsOf(0, 100), digestsOf(41, 42)...), [32]byte{}); !errors.Is(err, ErrDuplicate) {
		t.Errorf("a digest twice: %v", err)
	}
	if s := mustBuild(t, digestsOf(0, testDigests), 1); s.Len() != DefaultMaxEntries {
		t.Errorf("a set of %d digests has %d entries", testDigests, s.Len())
	}
}

// match runs a whole match and returns all hits.
func match(t testing.TB, m *Matcher, entries []byte) (hits []Hit) {
	t.Helper()
	err := m.Match(context.Background(), entries, 0, func(s Step) error {
		hits = append(hits, s.Hits...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return hits
}

func TestMatchFindsExactlyTheCommonDigests(t *testing.T) {
	for _, k := range []func() kernel{chooseKernel(), newStateKernel, newPlainKernel} {
		rapid.Check(t, func(t *rapid.T) {
			n := rapid.IntRange(0, 80).Draw(t, "n")
			from := rapid.IntRange(0, 80).Draw(t, "from")
			m := rapid.IntRange(0, 80).Draw(t, "m")
			theirs, ours := digestsOf(0, n), digestsOf(from, from+m)
			s, err := Build(theirs, [32]byte{byte(n)})
			if err != nil {
				t.Fatal(err)
			}
			matcher := &Matcher{digests: ours, kernel: k, pairs: rapid.IntRange(1, 20_000).Draw(t, "pairs"), Workers: rapid.IntRange(0, 3).Draw(t, "workers")}
			var hits []Hit
			var pairs uint64
			last := 0
			err = matcher.Match(context.Background(), s.Entries, 0, func(p Step) error {
				if p.Next <= last || p.Total != s.Len() {
					t.Fatalf("step %+v after %d", p, last)
				}
				last = p.Next
				pairs += p.Pairs
				hits = append(hits, p.Hits...)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if last != s.Len() || pairs != uint64(s.Len()*m) {
				t.Fatalf("stopped at %d of %d after %d pairs", last, s.Len(), pairs)
			}
			found := make(map[int]bool)
			for i, h := range hits {
				if i > 0 && hits[i-1].Entry >= h.Entry {
					t.Fatal("hits out of order")
				}
				d, ok := s.Digest(h.Entry)
				if !ok || theirs[d] != ours[h.Digest] {
					t.Fatalf("false hit %+v", h)
				}
				found[d] = true
			}
			if want := max(0, min(n, from+m)-from); len(found) != want || len(hits) != want {
				t.Fatalf("%d hits, want %d", len(hits), want)
			}
		})
	}
}

func TestMatchRefuses(t *testing.T) {
	m := NewMatcher(digestsOf(0, 3))
	never := func(Step) error { t.Error("reported"); return nil }
	for name, tc := range map[string]struct {
		bytes, from int
		want        error
	}{
		"half an entry":  {EntrySize + 1, 0, ErrEntries},
		"negative":       {EntrySize, -1, ErrEntries},
		"beyond the end": {EntrySize, 2, ErrEntries},
	} {
		if err := m.Match(context.Background(), make([]byte, tc.bytes), tc.from, never); !errors.Is(err, tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := m.Match(context.Background(), make([]byte, EntrySize), 1, never); err != nil {
		t.Errorf("nothing left to do: %v", err)
	}
}

func TestMatchResumes(t *testing.T) {
	theirs, ours := digestsOf(0, 250), digestsOf(100, 300)
	s := mustBuild(t, theirs, 9)
	m := NewMatcher(ours)
	m.pairs = 1 << 13
	want := match(t, m, s.Entries)
	if len(want) != 150 {
		t.Fatalf("%d hits", len(want))
	}
	broken := errors.New("the disk is full")
	var got []Hit
	next, runs := 0, 0
	for done := false; !done; runs++ {
		// Every run dies in its second report, whose hits are lost.
		reports := 0
		err := m.Match(context.Background(), s.Entries, next, func(p Step) error {
			if reports++; reports == 2 {
				return broken
			}
			next, got = p.Next, append(got, p.Hits...)
			return nil
		})
		if err != nil && !errors.Is(err, broken) {
			t.Fatal(err)
		}
		done = err == nil
	}
	if runs < 3 {
		t.Errorf("only %d runs: the test is not testing", runs)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%d hits after %d runs, want %d", len(got), runs, len(want))
	}
}

func TestMatchStops(t *testing.T) {
	s := mustBuild(t, digestsOf(0, 500), 1)
	m := NewMatcher(digestsOf(0, 300))
	m.pairs = 1 << 10
	ctx, cancel := context.WithCancelCause(context.Background())
	why := errors.New("the operator said so")
	reports := 0
	err := m.Match(ctx, s.Entries, 0, func(Step) error {
		reports++
		cancel(why)
		return nil
	})
	if !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	// After the cancellation at most what the select chose among ready cases was reported.
	if reports == 0 || reports >= s.Len()/3 {
		t.Errorf("%d reports", reports)
	}
}

func TestKernelIsTried(t *testing.T) {
	if newStateKernel() == nil || !sound(newStateKernel()) {
		t.Error("the fast kernel does not run with this Go release; matching falls back to crypto/hmac")
	}
	if !sound(newPlainKernel()) {
		t.Error("the plain kernel is unsound")
	}
	late := newStateKernel().(*stateKernel)
	late.at += 4
	wrong := map[string]kernel{
		"none":                  nil,
		"blind":                 fakeKernel(func(hits []int, _ []int) []int { return hits }),
		"drops earlier hits":    fakeKernel(func(_ []int, right []int) []int { return right }),
		"sees too much":         fakeKernel(func(hits []int, _ []int) []int { return append(hits, 3) }),
		"reads the wrong words": late,
	}
	for name, k := range wrong {
		if sound(k) {
			t.Errorf("%s: passes for sound", name)
		}
	}
	defer func(k []func() kernel) { kernels = k }(kernels)
	kernels = []func() kernel{
		func() kernel { return nil },
		func() kernel { return wrong["blind"] },
	}
	if _, plain := chooseKernel()().(plainKernel); !plain {
		t.Error("an unsound kernel was chosen")
	}
}

// fakeKernel gives out whatever it makes of the hits so far and the right ones.
type fakeKernel func(hits, right []int) []int

func (f fakeKernel) run(hits []int, entry *[EntrySize]byte, digests [][32]byte) []int {
	return f(hits, plainKernel{}.run(nil, entry, digests))
}

// A hash whose state cannot be set must not lose a match.
func TestKernelFallsBackInTheMiddle(t *testing.T) {
	s := mustBuild(t, digestsOf(0, 1), 1)
	var entry *[EntrySize]byte
	for i := range s.Len() {
		if _, ok := s.Digest(i); ok {
			entry = (*[EntrySize]byte)(s.Entries[i*EntrySize:])
		}
	}
	k := newStateKernel().(*stateKernel)
	k.hash = stubborn{k.hash}
	if got := k.run([]int{9}, entry, digestsOf(0, 10)); !slices.Equal(got, []int{9, 0}) {
		t.Errorf("got %v", got)
	}
}

type stubborn struct{ stateHash }

func (stubborn) UnmarshalBinary([]byte) error { return errors.New("no") }

func testClaims(t testing.TB) (s *Set, digests [][32]byte, transcript [32]byte, claims []Claim) {
	digests = digestsOf(0, 300)
	s = mustBuild(t, digests, 3)
	transcript = sha256.Sum256([]byte("transcript"))
	ours := digestsOf(250, 350)
	for i, h := range match(t, NewMatcher(ours), s.Entries) {
		c, err := NewClaim(s.Entries, h.Entry, &ours[h.Digest], answer.Row{byte(i), 1}, &transcript)
		if err != nil {
			t.Fatal(err)
		}
		claims = append(claims, c)
	}
	return s, digests, transcript, claims
}

func TestClaims(t *testing.T) {
	s, digests, transcript, claims := testClaims(t)
	if len(claims) != 50 {
		t.Fatalf("%d claims", len(claims))
	}
	data, err := EncodeClaims(claims)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeClaims(nil, data, s.Len())
	if err != nil || !slices.Equal(got, claims) {
		t.Fatalf("%d claims come back, %v", len(got), err)
	}
	seen := make(map[int]bool)
	for _, c := range got {
		i, err := s.Verify(c, &transcript)
		if err != nil || i < 250 {
			t.Fatalf("claim of digest %d: %v", i, err)
		}
		seen[i] = true
		want := mac(s.Entries[int(c.Entry)*EntrySize:][:32], []byte("ihyid/noise/1 claim"), transcript[:], digests[i][:])
		if !bytes.Equal(want, c.MAC[:]) {
			t.Fatal("a claim is not what the protocol says")
		}
	}
	if len(seen) != 50 {
		t.Fatalf("claims of %d digests", len(seen))
	}
}

func TestClaimsThatAreNotTrue(t *testing.T) {
	s, _, transcript, claims := testClaims(t)
	pad := 0
	for _, ok := s.Digest(pad); ok; _, ok = s.Digest(pad) {
		pad++
	}
	other := transcript
	other[31] ^= 1
	for name, tc := range map[string]struct {
		change     func(*Claim)
		transcript *[32]byte
	}{
		"another session":  {func(*Claim) {}, &other},
		"one bit":          {func(c *Claim) { c.MAC[31] ^= 1 }, &transcript},
		"another's MAC":    {func(c *Claim) { c.MAC = claims[1].MAC }, &transcript},
		"another entry":    {func(c *Claim) { c.Entry = claims[1].Entry }, &transcript},
		"padding":          {func(c *Claim) { c.Entry = uint32(pad) }, &transcript},
		"beyond the set":   {func(c *Claim) { c.Entry = uint32(s.Len()) }, &transcript},
		"far beyond":       {func(c *Claim) { c.Entry = 1<<32 - 1 }, &transcript},
		"the uscadi as is": {func(c *Claim) { c.MAC = [32]byte(s.Entries[int(c.Entry)*EntrySize+32:]) }, &transcript},
	} {
		c := claims[0]
		tc.change(&c)
		if _, err := s.Verify(c, tc.transcript); !errors.Is(err, ErrClaim) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, entry := range []int{-1, s.Len()} {
		if _, err := NewClaim(s.Entries, entry, new([32]byte), answer.Row{}, &transcript); !errors.Is(err, ErrClaims) {
			t.Errorf("a claim of entry %d: %v", entry, err)
		}
	}
}

func TestClaimCodecRefuses(t *testing.T) {
	row := func(i byte) answer.Row { return answer.Row{15: i} }
	claim := func(e uint32, r byte) Claim { return Claim{Entry: e, Row: row(r)} }
	for name, list := range map[string][]Claim{
		"twice":     {claim(1, 1), claim(1, 1)},
		"four rows": {claim(1, 4), claim(1, 1), claim(1, 2), claim(1, 3)},
	} {
		if _, err := EncodeClaims(list); !errors.Is(err, ErrClaims) {
			t.Errorf("%s: %v", name, err)
		}
	}
	three := []Claim{claim(1, 1), claim(1, 2), claim(1, 3)}
	good, err := EncodeClaims(append(three, claim(2, 1)))
	if err != nil {
		t.Fatal(err)
	}
	part := func(i, j int) []byte { return bytes.Clone(good[i*ClaimSize : j*ClaimSize]) }
	fourth := part(2, 3)
	fourth[19] = 4
	for name, tc := range map[string]struct {
		dst  []Claim
		data []byte
	}{
		"half":                       {nil, good[:ClaimSize/2]},
		"out of order":               {nil, append(part(1, 2), part(0, 1)...)},
		"twice":                      {nil, append(part(1, 2), part(1, 2)...)},
		"beyond the set":             {nil, append(part(0, 1), bytes.Repeat([]byte{0xff}, ClaimSize)...)},
		"the next entry of the set":  {nil, append([]byte{0, 0, 0, 3}, part(0, 1)[4:]...)},
		"four rows":                  {nil, append(part(0, 3), fourth...)},
		"four rows over two chunks":  {three, fourth},
		"not above the chunk before": {three, part(2, 4)},
	} {
		got, err := DecodeClaims(tc.dst, tc.data, 3)
		if !errors.Is(err, ErrClaims) || !slices.Equal(got, tc.dst) {
			t.Errorf("%s: %d claims, %v", name, len(got), err)
		}
	}
	if got, err := DecodeClaims(three, part(3, 4), 3); err != nil || len(got) != 4 {
		t.Errorf("a good chunk after another: %d claims, %v", len(got), err)
	}
}

func FuzzDecodeClaims(f *testing.F) {
	_, _, _, claims := testClaims(f)
	data, err := EncodeClaims(claims)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data[:10*ClaimSize], uint16(512))
	f.Add(data[:3], uint16(1))
	f.Fuzz(func(t *testing.T, data []byte, entries uint16) {
		list, err := DecodeClaims(nil, data, int(entries))
		if err != nil {
			return
		}
		back, err := EncodeClaims(list)
		if err != nil || !bytes.Equal(back, data) {
			t.Fatalf("accepted what it would not write: %v", err)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{1000, 20_000} {
		s := mustBuild(b, digestsOf(0, min(n, 2000)), 1)
		m := NewMatcher(digestsOf(0, n))
		b.Run(fmt.Sprintf("%d-entries-%d-digests", s.Len(), n), func(b *testing.B) {
			var pairs uint64
			for b.Loop() {
				err := m.Match(context.Background(), s.Entries, 0, func(p Step) error { pairs += p.Pairs; return nil })
				if err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(pairs)/b.Elapsed().Seconds()/1e6, "Mpairs/s")
		})
	}
}

func BenchmarkKernel(b *testing.B) {
	digests := digestsOf(0, 20_000)
	for name, make := range map[string]func() kernel{"state": newStateKernel, "plain": newPlainKernel} {
		b.Run(name, func(b *testing.B) {
			k, entry := make(), new([EntrySize]byte)
			b.ReportAllocs()
			for b.Loop() {
				k.run(nil, entry, digests)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(digests)), "ns/pair")
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	digests := digestsOf(0, testDigests)
	for b.Loop() {
		mustBuild(b, digests, 1)
	}
	b.ReportMetric(float64(testDigests)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}
