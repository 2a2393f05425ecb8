package harness

import "syscall"

// childAttributes has a node die with the test that started it, even where that is killed or runs out of time.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
