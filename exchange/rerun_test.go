package exchange

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/exchange/answer"
	"ihyid/exchange/register"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
)

// story is two nodes to which things happen at random, and what they should find.
type story struct {
	*rand.Rand
	t       *testing.T
	w       *world
	nodes   [2]*testNode
	profile *contacts.Profile
	told    []string
}

const storyProfile = "levant/1"

func newStory(t *testing.T, seed uint64) *story {
	st := &story{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, w: newWorld(t)}
	var err error
	st.profile, err = contacts.BuiltinProfile(storyProfile)
	must(t, err)
	for i, host := range []string{"a.example", "b.example"} {
		tn := st.w.add(host)
		tn.stop()
		tn.options = func(o *Options) {
			o.Profiles[storyProfile] = st.profile
			o.PollInterval = 20 * time.Millisecond
		}
		tn.start()
		st.nodes[i] = tn
	}
	befriend(st.nodes[0], st.nodes[1])
	return st
}

func (st *story) tell(format string, args ...any) {
	st.told = append(st.told, fmt.Sprintf(format, args...))
}

// row is a line of a list: of few people, so that lists have many in common, also with themselves.
func (st *story) row(id int) string {
	pick := func(all ...string) string { return all[st.IntN(len(all))] }
	return fmt.Sprintf("X%d,%s,%s,%s,%s,%d-%02d-%02d\n", id, pick("Amal", "Nour", "Rami", "Ziad"), pick("Khoury", "Haddad", "Saad"),
		pick("Rita", "Hala", ""), pick("Fadi", "Karim", ""), 1980+st.IntN(2), 1+st.IntN(2), 1+st.IntN(2))
}

func (st *story) list() string {
	var b strings.Builder
	b.WriteString(header)
	from := st.IntN(40)
	for i := range 1 + st.IntN(12) {
		b.WriteString(st.row(from + i))
	}
	return b.String()
}

// change does something to the contacts of a node.
func (st *story) change(tn *testNode) {
	ctx, t := st.t.Context(), st.t
	all, err := tn.reg.List(ctx, 0, 1000)
	must(t, err)
	one := func() uint64 {
		if len(all) == 0 {
			return 1
		}
		return all[st.IntN(len(all))].ID
	}
	expected := func(err error, which ...error) {
		t.Helper()
		for _, w := range which {
			if errors.Is(err, w) {
				return
			}
		}
		if err != nil && !errors.As(err, new(*register.ExistsError)) && !errors.As(err, new(*register.MergedError)) && !errors.As(err, new(*register.EditedError)) {
			t.Fatalf("%v, after %s", err, strings.Join(st.told, "; "))
		}
	}
	switch what := st.IntN(10); what {
	case 0, 1, 2:
		st.tell("%s imports, update %v", tn.host, what == 1)
		job, err := tn.reg.StartImport(ctx, strings.NewReader(st.list()), register.ImportOptions{Update: what == 1}, "local")
		must(t, err)
		if job = tn.await(job.ID); job.State != jobs.Done {
			t.Fatalf("%+v", job)
		}
	case 3:
		id := one()
		st.tell("%s changes %d", tn.host, id)
		_, _, err := tn.reg.Update(ctx, id, 0, register.Patch{contacts.FirstName: []string{"Amal", "Nour", "Rami"}[st.IntN(3)]}, "x")
		expected(err, register.ErrNotFound)
	case 4:
		id := one()
		st.tell("%s deletes %d", tn.host, id)
		expected(tn.reg.Delete(ctx, "x", id), register.ErrNotFound)
	case 5, 6:
		if len(all) < 2 {
			return
		}
		x, y := one(), one()
		if x == y {
			return
		}
		m, err := tn.reg.Merge(ctx, fmt.Sprintf("%d-%d", min(x, y), max(x, y)), nil, "x")
		st.tell("%s merges %d and %d to %d (%v)", tn.host, x, y, m.ID, err)
		expected(err)
	case 7:
		for _, c := range all {
			if len(c.Originals) > 0 {
				_, err := tn.reg.Undo(ctx, c.ID, true, "x")
				st.tell("%s takes the merge %d back (%v)", tn.host, c.ID, err)
				expected(err)
				return
			}
		}
	case 8, 9:
		id, roll := one(), what == 9 && st.IntN(3) == 0
		st.tell("%s erases %d, roll %v", tn.host, id, roll)
		_, err := tn.EraseContacts(ctx, "x", roll, id)
		expected(err, register.ErrNotFound)
	}
}

// exchange runs one from one node to the other. With trouble, one node or both are stopped on the way and started again, or contacts change meanwhile; it may fail then.
func (st *story) exchange(from, to *testNode, trouble int) Exchange {
	ctx, t := st.t.Context(), st.t
	left := 1 + st.IntN(12) // requests until it comes
	came := make(chan struct{}, 1)
	if trouble > 0 {
		st.w.mu.Lock()
		st.w.intercept = func(_ *testNode, r *TransportRequest) (*TransportResponse, error) {
			if left--; left == 0 {
				came <- struct{}{}
			}
			return nil, nil
		}
		st.w.mu.Unlock()
	}
	e, err := from.StartExchange(ctx, Request{Peer: to.DID(), Profile: storyProfile, Protocol: ProtocolVOPRF, Purpose: "a test"})
	must(t, err)
	st.tell("%s exchanges, trouble %d after %d requests", from.host, trouble, left)
	if trouble > 0 {
		ended, cancel := context.WithCancel(ctx)
		go func() {
			defer cancel()
			for {
				if s, err := from.Exchange(ended, e.ID); err != nil || s.State.Finished() {
					return
				}
				select {
				case <-ended.Done():
					return
				case <-time.After(5 * time.Millisecond):
				}
			}
		}()
		select {
		case <-came:
			cancel()
			switch trouble {
			case 1:
				from.stop()
				from.start()
			case 2:
				st.w.offline.Store(true)
				to.stop()
				to.start()
				st.w.offline.Store(false)
			case 3:
				_, err := from.queue.Cancel(ctx, e.Job)
				if err != nil && !errors.Is(err, jobs.ErrFinished) {
					t.Fatal(err)
				}
			}
		case <-ended.Done():
		}
		st.w.mu.Lock()
		st.w.intercept = nil
		st.w.mu.Unlock()
	}
	from.await(e.Job)
	e, err = from.Exchange(ctx, e.ID)
	must(t, err)
	return e
}

// holdings gives the digests of a node's contacts as they are, and how many hold each.
func (st *story) holdings(tn *testNode) ([]holding, map[[32]byte]int) {
	var all []holding
	count := map[[32]byte]int{}
	must(st.t, tn.reg.Digests(st.t.Context(), st.profile, nil, func(contact uint64, digests []contacts.KeyDigest) error {
		for _, d := range digests {
			all = append(all, holding{d.Digest, contact, d.Key})
			count[d.Digest]++
		}
		return nil
	}))
	return all, count
}

// expected works out what two nodes have in common from their contacts, without any protocol: of each side's contacts, the tier and the number of keys of every pair.
func (st *story) expected() (out [2][]string) {
	var own [2][]holding
	var count [2]map[[32]byte]int
	for i, tn := range st.nodes {
		own[i], count[i] = st.holdings(tn)
	}
	agreed := map[[2]uint64]uint32{}
	for _, x := range own[0] {
		for _, y := range own[1] {
			if x.digest == y.digest && count[0][x.digest] <= maxSharers && count[1][x.digest] <= maxSharers {
				agreed[[2]uint64{x.contact, y.contact}] |= 1 << x.key
			}
		}
	}
	for pair, keys := range agreed {
		if tier := st.profile.Tier(keys); tier != contacts.TierNone {
			for i := range out {
				out[i] = append(out[i], fmt.Sprintf("%d %s %v", pair[i], tier, st.profile.KeyNames(keys)))
			}
		}
	}
	for i := range out {
		slices.Sort(out[i])
	}
	return out
}

// check holds a finished exchange against what it should have found, and what both sides keep against the contacts.
func (st *story) check(e Exchange) {
	st.t.Helper()
	ctx, t := st.t.Context(), st.t
	want := st.expected()
	bad := func(format string, args ...any) {
		t.Helper()
		t.Fatalf("%s, after\n%s", fmt.Sprintf(format, args...), strings.Join(st.told, "\n"))
	}
	var results [2][]byte
	for i, tn := range st.nodes {
		found, err := tn.Matches(ctx, e.ID)
		must(t, err)
		got := make([]string, len(found))
		for k, m := range found {
			got[k] = fmt.Sprintf("%d %s %v", m.Contact, m.Tier, m.Keys)
		}
		slices.Sort(got)
		if !slices.Equal(got, want[i]) {
			bad("%s found\n%v, want\n%v", tn.host, got, want[i])
		}
		s, err := tn.session(ctx, e.ID)
		must(t, err)
		if int(s.Pairs+s.Maybes) != len(got) {
			bad("%s counts %+v for %d pairs", tn.host, s.counts(), len(got))
		}
		best := map[uint64]string{}
		for _, m := range found {
			if best[m.Contact] == "" || m.Tier == "match" {
				best[m.Contact] = m.Tier
			}
			if report, err := tn.SubjectReport(ctx, m.Contact); err != nil || !slices.ContainsFunc(report.Matches, func(r SubjectMatch) bool { return r.Exchange == e.ID && r.Row == m.Row && r.Tier == m.Tier }) {
				bad("%s: the subject report of %d lacks the match (%v)", tn.host, m.Contact, err)
			}
		}
		count := map[string]int{}
		for _, tier := range best {
			count[tier]++
		}
		if s.InCommon != count["match"] || s.Possible != count["possible"] {
			bad("%s counts %+v, want %v", tn.host, s.counts(), count)
		}
		all, _ := st.holdings(tn)
		must(t, tn.store.View(ctx, func(tx *store.Tx) error {
			ep, err := tn.epochTx(tx, s)
			must(t, err)
			own, err := tn.standingOwn(tx, ep)
			must(t, err)
			if !bytes.Equal(newOwnSet(slices.Collect(own.all)).raw, newOwnSet(all).raw) {
				bad("%s keeps another own set than it has", tn.host)
			}
			return nil
		}))
		next := *s
		must(t, tn.store.View(ctx, func(tx *store.Tx) error {
			ep, err := tn.epochTx(tx, s)
			next.Base = ep.base()
			return err
		}))
		results[i], err = tn.standingResult(ctx, &next)
		must(t, err)
		if _, err := answer.Decode(nil, results[i]); err != nil {
			bad("%s: %v", tn.host, err)
		}
	}
	if !bytes.Equal(results[0], results[1]) {
		bad("the two sides keep different results")
	}
}

// restore puts a node back to an earlier state of its store.
func (st *story) restore(tn *testNode, snapshot []byte) {
	tn.stop()
	path := filepath.Join(tn.dir, "node.db")
	must(st.t, os.Rename(path, path+strconv.Itoa(st.IntN(1<<30))))
	keys, err := file.Open(filepath.Join(tn.dir, "keys"), file.Options{})
	must(st.t, err)
	must(st.t, store.Restore(st.t.Context(), path, bytes.NewReader(snapshot), store.Options{Keys: keys}))
	must(st.t, keys.Close())
	tn.start()
}

// forgive ends an exchange at the responder, if it has not ended there, and holds nothing of it against the initiator.
func (st *story) forgive(tn *testNode, id string) {
	t := st.t
	if err := tn.giveUp(t.Context(), id, fail(CodePeerState, "the story goes on")); CodeOf(err) != CodeUnknownExchange {
		must(t, err)
	}
	if e, err := tn.Exchange(t.Context(), id); err == nil && e.Unfinished {
		_, err = tn.ExcuseExchange(t.Context(), id, "the story goes on")
		must(t, err)
	}
}

// forgetLog leaves of the log of a node's register the last entry only, as when too much has been written since.
func forgetLog(n *testNode) {
	log := store.NewCollection[[]byte](n.store, "changed", 1)
	must(n.t, n.store.Update(n.t.Context(), func(tx *store.Tx) error {
		last := true
		for key, err := range log.Keys(tx, store.Range{Reverse: true}) {
			if !last {
				err = errors.Join(err, log.Delete(tx, key))
			}
			must(n.t, err)
			last = false
		}
		return nil
	}))
}

// TestRerunIsTheSame lets things happen at random to the contacts of two nodes, and to the nodes, with exchanges in both directions between: whatever is brought up to date from changes is
// what it would be made from the beginning. IHYID_STORIES (1) is how many are played.
func TestRerunIsTheSame(t *testing.T) {
	stories := 1
	if n, err := strconv.Atoi(os.Getenv("IHYID_STORIES")); err == nil && n > 0 {
		stories = n
	}
	first := uint64(1)
	if n, err := strconv.ParseUint(os.Getenv("IHYID_STORY"), 10, 64); err == nil {
		first = n
	}
	for seed := first; seed < first+uint64(stories); seed++ {
		t.Run(strconv.FormatUint(seed, 10), func(t *testing.T) {
			st := newStory(t, seed)
			finished, increments := 0, 0
			copies := map[*testNode][]byte{}
			for _, tn := range st.nodes {
				tn.importCSV(st.list())
			}
			for range 12 {
				for range st.IntN(4) {
					st.change(st.nodes[st.IntN(2)])
				}
				at := st.IntN(2)
				from, to := st.nodes[at], st.nodes[1-at]
				switch st.IntN(12) {
				case 0:
					n := st.nodes[st.IntN(2)]
					st.tell("%s rolls its epochs", n.host)
					_, err := n.RollEpochs(t.Context(), "")
					must(t, err)
				case 1:
					n := st.nodes[st.IntN(2)]
					st.tell("%s forgets its log", n.host)
					forgetLog(n)
				case 2:
					n := st.nodes[st.IntN(2)]
					st.tell("%s is copied", n.host)
					var b bytes.Buffer
					must(t, n.store.Snapshot(t.Context(), &b))
					copies[n] = b.Bytes()
				case 3, 4:
					if n := st.nodes[st.IntN(2)]; copies[n] != nil {
						st.tell("%s is put back to its copy", n.host)
						st.restore(n, copies[n])
					}
				}
				trouble := max(0, st.IntN(7)-3)
				e := st.exchange(from, to, trouble)
				if e.State != StateDone {
					if trouble == 0 {
						t.Fatalf("%+v after\n%s", e, strings.Join(st.told, "\n"))
					}
					st.forgive(to, e.ID)
					continue
				}
				s, err := from.session(t.Context(), e.ID)
				must(t, err)
				if finished++; s.Base != "" {
					increments++
				}
				st.check(e)
			}
			if finished == 0 || increments == 0 {
				t.Errorf("%d exchanges ended, %d were increments: the story shows nothing", finished, increments)
			}
		})
	}
}
