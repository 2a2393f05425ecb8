package e2e

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"ihyid/test/harness"
	"ihyid/test/lists"
)

// BenchmarkReads asks a real node over HTTPS at a steady rate, whether it keeps up or not, and counts each answer's time from the moment
// at which it was to be asked for. IHYID_LOAD_CONTACTS (100,000), IHYID_LOAD_RATE (500 a second) and IHYID_LOAD_SECONDS (10) change it.
func BenchmarkReads(b *testing.B) {
	setting := func(name string, or int) int {
		if n, err := strconv.Atoi(os.Getenv(name)); err == nil && n > 0 {
			return n
		}
		return or
	}
	size, rate, seconds := setting("IHYID_LOAD_CONTACTS", 100_000), setting("IHYID_LOAD_RATE", 500), setting("IHYID_LOAD_SECONDS", 10)
	net := harness.New(b, program)
	n := net.Add("alpha")
	population, err := lists.New(lists.Options{N: size, Seed: 3, Organisations: []lists.Organisation{{Name: "alpha", Prefix: "A"}}})
	harness.Check(b, err)
	var list bytes.Buffer
	harness.Check(b, population.WriteCSV(&list, 0))
	job, err := n.Import(list.Bytes())
	harness.Check(b, err)
	if j := n.Job(job.ID); j.State != "done" {
		b.Fatalf("the import ended as %s: %s", j.State, j.Error)
	}
	const password = "a long password for reading"
	_, err = n.Client.AddUser(b.Context(), "reader", "operator", password)
	harness.Check(b, err)
	tokens, err := n.Client.SignIn(b.Context(), "reader", password, "")
	harness.Check(b, err)

	client := &http.Client{Transport: &http.Transport{TLSClientConfig: net.Trust(), ForceAttemptHTTP2: true}}
	b.Cleanup(client.CloseIdleConnections)
	names := []string{"Mohammad", "Fatima", "Ahmad Khoury", "محمد", "Ali Haddad", "Mariam"}
	ask := func(r *rand.Rand) error {
		method, path, body := http.MethodGet, "", ""
		switch r.IntN(10) {
		case 0:
			path = fmt.Sprintf("/contacts?limit=50&after=%d", r.IntN(size))
		case 1:
			method, path, body = http.MethodPost, "/contacts/search", fmt.Sprintf(`{"name":%q,"limit":50}`, names[r.IntN(len(names))])
		case 2:
			path = "/exchanges"
		default:
			path = fmt.Sprintf("/contacts/%d", 1+r.IntN(size))
		}
		req, err := http.NewRequest(method, fmt.Sprintf("https://localhost:%d%s", n.Port, path), strings.NewReader(body))
		if err != nil {
			return err
		}
		if body != "" {
			req.Header.Set("Content-Type", "application/json")
		}
		req.Header.Set("Authorization", "Bearer "+tokens.Access)
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s %s: %s", method, path, resp.Status)
		}
		return nil
	}
	var mu sync.Mutex
	var took []time.Duration
	var failed error
	for b.Loop() {
		var group sync.WaitGroup
		start := time.Now()
		tick := time.NewTicker(time.Second / time.Duration(rate))
		for i := range rate * seconds {
			due := start.Add(time.Duration(i) * time.Second / time.Duration(rate))
			for time.Now().Before(due) {
				<-tick.C
			}
			group.Go(func() {
				err := ask(rand.New(rand.NewPCG(uint64(i), 1)))
				mu.Lock()
				defer mu.Unlock()
				took = append(took, time.Since(due))
				if err != nil {
					failed = err
				}
			})
		}
		group.Wait()
		tick.Stop()
	}
	if failed != nil {
		b.Fatal(failed)
	}
	slices.Sort(took)
	at := func(share float64) float64 {
		return float64(took[int(share*float64(len(took)-1))].Microseconds()) / 1000
	}
	b.ReportMetric(at(.5), "p50-ms")
	b.ReportMetric(at(.99), "p99-ms")
	b.ReportMetric(at(1), "worst-ms")
	b.ReportMetric(float64(rate), "asked/s")
	b.ReportMetric(0, "ns/op")
}
