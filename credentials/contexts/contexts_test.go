package contexts

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"regexp"
	"testing"

	"ihyid/credentials/ijson"
)

// The digests in README.md are those of the files, and every file stands there.
func TestDigests(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\S+\.jsonld) \| (\S+) \| .* \| ([0-9a-f]{64}) \|$`).FindAllStringSubmatch(string(readme), -1)
	written := map[string]string{}
	for _, r := range rows {
		if names[r[2]] != r[1] {
			t.Errorf("README.md gives %s the address %s", r[1], r[2])
		}
		written[r[2]] = r[3]
	}
	all := All()
	for url, b := range all {
		sum := sha256.Sum256(b)
		if hex.EncodeToString(sum[:]) != written[url] {
			t.Errorf("%s: the digest is not the one in README.md", url)
		}
		if d, err := ijson.ParseObject(b, ijson.Limits{}); err != nil || d["@context"] == nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if len(written) != len(all) {
		t.Errorf("%d digests for %d files", len(written), len(all))
	}
}
