package quality

import (
	"os"
	"path/filepath"
	"testing"
)

// sharedData finds the folder of measuring data, which is not part of the project; the test is skipped where it is absent.
func sharedData(t testing.TB, elem ...string) string {
	t.Helper()
	roots := []string{os.Getenv("IHYID_SHARED_DATA")}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		roots = append(roots, filepath.Join(dir, "shared", "data"))
		if dir == filepath.Dir(dir) {
			break
		}
	}
	for _, root := range roots {
		path := filepath.Join(append([]string{root}, elem...)...)
		if root != "" {
			if _, err := os.Stat(path); err == nil {
				return path
			}
		}
	}
	t.Skip("NOT RUN: the measuring data is absent; set IHYID_SHARED_DATA to its folder")
	return ""
}
