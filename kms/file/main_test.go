package file

import (
	"context"
	"fmt"
	"os"
	"testing"

	"go.uber.org/goleak"

	"ihyid/kms"
)

// childEnv makes the test binary act as another process that has the store
// open: it creates keys and prints the id of each once Create has returned.
const childEnv = "IHYID_KMS_FILE_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		os.Exit(child(path))
	}
	goleak.VerifyTestMain(m)
}

func child(path string) int {
	s, err := Open(path, Options{})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	n := 1 << 30 // until killed
	_, _ = fmt.Sscan(os.Getenv(childEnv+"_KEYS"), &n)
	for range n {
		k, err := s.Create(context.Background(), kms.P256, kms.Authentication)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(k.ID)
	}
	return 0
}
