// Command make writes the test vectors into the folder that it runs in, and the sub-folders it is given none: run it by go
// generate ./test/vectors.
package main

import (
	"fmt"
	"os"

	"ihyid/test/vectors"
)

func main() {
	files, err := vectors.Files()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}
