package register_test

import (
	"bytes"
	"context"
	"os"
	"strconv"
	"testing"

	"ihyid/exchange/register"
	"ihyid/test/lists"
)

// BenchmarkDuplicates imports the lists of two organisations into one register, and reports what share of the people that stand there twice was found (recall)
// and what share of the pairs found is right (precision), for the pairs that match and for all, and how many pairs there are to be looked at for each thousand
// contacts. IHYID_DUPLICATES_CONTACTS sets how many contacts each list has.
func BenchmarkDuplicates(b *testing.B) {
	size := 10_000
	if n, err := strconv.Atoi(os.Getenv("IHYID_DUPLICATES_CONTACTS")); err == nil && n > 0 {
		size = n
	}
	population, err := lists.New(lists.Options{N: size, Seed: 7, Organisations: lists.Two()})
	check(b, err)
	name := b.TempDir() + "/list.csv"
	f, err := os.Create(name)
	check(b, err)
	check(b, population.WriteCSV(f, 0))
	var second bytes.Buffer
	check(b, population.WriteCSV(&second, 1))
	_, rest, _ := bytes.Cut(second.Bytes(), []byte("\n"))
	_, err = f.Write(rest)
	check(b, err)
	check(b, f.Close())
	truth := map[[2]string]bool{}
	for p := range population.Pairs() {
		truth[[2]string{p.A, p.B}], truth[[2]string{p.B, p.A}] = true, true
	}
	for b.Loop() {
		n := open(b, b.TempDir(), "levant/1")
		list, err := os.Open(name)
		check(b, err)
		job, err := n.StartImport(context.Background(), list, register.ImportOptions{}, "local")
		check(b, err)
		n.await(b, job.ID)
		check(b, list.Close())
		found, right := map[string]int{}, map[string]int{}
		for after := ""; ; {
			pairs, err := n.Duplicates(context.Background(), after, 1000)
			check(b, err)
			if len(pairs) == 0 {
				break
			}
			for _, p := range pairs {
				found[p.Tier]++
				if truth[[2]string{p.A.ExternalID, p.B.ExternalID}] {
					right[p.Tier]++
				}
			}
			after = pairs[len(pairs)-1].ID
		}
		n.close()
		all, good := found["match"]+found["possible"], right["match"]+right["possible"]
		b.ReportMetric(float64(right["match"])/float64(len(truth)/2), "match-recall")
		b.ReportMetric(float64(right["match"])/float64(found["match"]), "match-precision")
		b.ReportMetric(float64(good)/float64(len(truth)/2), "review-recall")
		b.ReportMetric(float64(good)/float64(all), "review-precision")
		b.ReportMetric(1000*float64(all)/float64(2*size), "pairs/1000-contacts")
	}
}
