// Command ihyid is the node, its tools and its command line in one binary.
//
// Commands that work on a node speak to the running one, through the Unix socket in its data
// directory or, with --server and a token, from afar. Those that need no node run by themselves.
//
// Exit status: 0 done; 1 the answer is no, or it failed; 2 wrong usage. What was asked for goes to
// standard output, everything else to standard error.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	os.Exit(realMain())
}

func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{in: os.Stdin, out: os.Stdout, err: os.Stderr, environ: os.Environ()}
	return a.run(ctx, os.Args[1:])
}
