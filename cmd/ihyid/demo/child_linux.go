package demo

import "syscall"

// childAttributes has a node end with the demonstration, even where that is killed.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
}
