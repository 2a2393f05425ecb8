package interop

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"ihyid/exchange"
	"ihyid/kms"
	"ihyid/kms/file"
	"ihyid/store"
	"ihyid/test/harness"
)

// What our nodes made in real exchanges, verified by the foreign implementation: receipts and organisation credentials as linked data, the presentations of bundles as
// canonical JSON. And each is refused when one value is changed.
func TestMadeByNodes(t *testing.T) {
	f := start(t)
	program, remove, err := harness.Build()
	if err != nil {
		t.Fatal(err)
	}
	defer remove()
	dir := filepath.Join(t.TempDir(), "out")
	if out, err := exec.CommandContext(t.Context(), program, "demo", "--dir", dir, "--quiet").CombinedOutput(); err != nil {
		t.Fatalf("the demonstration failed: %v\n%s", err, out)
	}
	at := time.Now().UTC().Format(time.RFC3339)
	var receipts, bundles int
	check := func(op string, document object, field string) {
		t.Helper()
		if answer := f.ask(t, object{"op": op, "document": document, "now": at}); answer["error"] != nil {
			t.Fatalf("%s: %v\n%s", op, answer["error"], encode(t, document))
		}
		document[field] = "urn:uuid:00000000-0000-4000-8000-000000000000"
		if answer := f.ask(t, object{"op": op, "document": document, "now": at}); answer["error"] == nil {
			t.Fatal("the foreign implementation accepts a changed document")
		}
	}
	documents := func(paths ...string) (out []object) {
		t.Helper()
		for _, p := range paths {
			names, err := filepath.Glob(filepath.Join(dir, p))
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range names {
				text, err := os.ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				out = append(out, decode(t, text))
			}
		}
		return out
	}
	for _, file := range documents("receipts/*.json") {
		for _, d := range file["didDocuments"].(object) {
			f.ask(t, object{"op": "publish", "document": d})
		}
		for _, r := range file["receipts"].([]any) {
			if suite := r.(object)["proof"].(object)["cryptosuite"]; suite != "ecdsa-rdfc-2019" {
				t.Errorf("a receipt is signed with %v by default", suite)
			}
			check("verify", r.(object), "id")
			receipts++
		}
	}
	for _, p := range documents("presentations/*/*/IhyidBundle.json", "presentations/*/*/IhyidAcceptance.json") {
		for _, c := range p["verifiableCredential"].([]any) {
			check("verifyJCS", decode(t, encode(t, c)), "id")
		}
		check("verifyJCS", p, "id")
		bundles++
	}
	if receipts < 6 || bundles < 6 {
		t.Errorf("%d receipts and %d presentations of bundles", receipts, bundles)
	}
	for _, curve := range []string{"P-256", "P-384"} {
		n := organisation(t, curve)
		var document object
		if err := json.Unmarshal(n.DocumentJSON(), &document); err != nil {
			t.Fatal(err)
		}
		f.ask(t, object{"op": "publish", "document": document})
		check("verify", decode(t, n.OrganisationCredential()), "id")
	}
}

func organisation(t *testing.T, curve string) *exchange.Node {
	t.Helper()
	dir := t.TempDir()
	keys, err := file.Create(filepath.Join(dir, "keys"), file.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Create(t.Context(), filepath.Join(dir, "node.db"), store.Options{Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Close()
		keys.Close()
	})
	n, err := exchange.Create(t.Context(), exchange.Options{Store: s, Keys: keys}, exchange.NewIdentity{Method: "web", Curve: kms.Curve(curve),
		Host: strings.ToLower(curve) + ".example", Organisation: exchange.Organisation{Name: "منظمة الإغاثة", RegistrationNumber: "1", Country: "JO"}})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
