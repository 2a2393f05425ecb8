//go:build unix

package register

import (
	"fmt"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"ihyid/contacts"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/store/jobs"
)

// processorTime is what this process has used of all processors.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkProtect does to contacts what encryption at rest costs: each is encoded and sealed, and each of its index entries is hashed with the key. The
// match digests are made beforehand. It reports processor time, so that a busy machine tells nearly the same.
func BenchmarkProtect(b *testing.B) {
	for _, profile := range []string{"soundex/1", "levant/1"} {
		b.Run(profile, func(b *testing.B) {
			p, err := contacts.BuiltinProfile(profile)
			if err != nil {
				b.Fatal(err)
			}
			keys, err := file.Create(filepath.Join(b.TempDir(), "keys"), file.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer keys.Close()
			s, err := store.Create(b.Context(), filepath.Join(b.TempDir(), "node.db"), store.Options{Keys: keys})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			r, err := New(Options{Store: s, Jobs: jobs.New(s, jobs.Options{}), Profile: p})
			if err != nil {
				b.Fatal(err)
			}
			const n = 1000
			encoder := p.NewEncoder()
			records, digests, entries := make([]record, n), make([][]contacts.KeyDigest, n), 0
			for i := range records {
				c := &records[i].Contact
				for f, v := range map[contacts.Field]string{
					contacts.FirstName: "Houman", contacts.LastName: "Haddad", contacts.MotherFirstName: "Barbara", contacts.FatherFirstName: "Michael",
					contacts.DateOfBirth: fmt.Sprintf("1976-05-%02d", 1+i%28), contacts.Phone: fmt.Sprintf("+9613%06d", i), contacts.ExternalID: fmt.Sprintf("HH-%07d", i),
				} {
					c.Set(f, v)
				}
				records[i].Created, records[i].Import, records[i].Line = time.Now().UTC(), "0123456789abcdef", i
				digests[i] = encoder.Digests(nil, c)
				entries += len(digests[i]) + 1
			}
			b.ReportAllocs()
			begun := processorTime(b)
			for b.Loop() {
				sealer := r.contacts.Sealer()
				for i := range records {
					if _, err := sealer.Seal(store.ID(uint64(i+1)), &records[i]); err != nil {
						b.Fatal(err)
					}
					r.ids.Hash(identity(&records[i].Contact))
					for k := range digests[i] {
						r.index.Hash(digests[i][k].Digest[:])
					}
				}
			}
			used := float64((processorTime(b) - begun).Nanoseconds()) / float64(b.N*n)
			b.ReportMetric(used/1000, "cpu-µs/contact")
			b.ReportMetric(float64(entries)/n, "entries/contact")
			b.ReportMetric(0, "ns/op")
		})
	}
}
