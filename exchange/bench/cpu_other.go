//go:build !unix

package bench

import (
	"runtime"
	"time"
)

var began = time.Now()

// cpuTime returns the most processor time that the process can have used: elapsed time on all cores.
func cpuTime() time.Duration { return time.Since(began) * time.Duration(runtime.GOMAXPROCS(0)) }
