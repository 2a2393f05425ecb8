// Command mklists writes contact lists of invented people, and which of their rows are one person, as CSV files.
//
//	go run ./test/lists/cmd/mklists --n 1000000 --seed 1 --out DIR      two large lists: a.csv, b.csv, truth.csv
//	go run ./test/lists/cmd/mklists --shipped --out examples            the lists of the folder examples
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"ihyid/test/lists"
)

func main() {
	err := run(os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintln(os.Stderr, "mklists:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("wrong usage")

func run(args []string, out, messages io.Writer) error {
	flags := flag.NewFlagSet("mklists", flag.ContinueOnError)
	flags.SetOutput(messages)
	n := flags.Int("n", lists.DefaultContacts, "contacts in each list")
	seed := flags.Uint64("seed", 1, "seed; the same seed makes the same lists")
	overlap := flags.Float64("overlap", lists.DefaultOverlap, "share of a list that the other has too, 0 to 0.9")
	one := flags.Bool("one", false, "write one list only")
	all := flags.Bool("all-columns", false, "write phone, household and town too")
	shipped := flags.Bool("shipped", false, "write the lists of the folder examples; nothing else counts then but --out")
	dir := flags.String("out", ".", "directory to write to; it is made if need be")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(messages, "mklists: unexpected argument %q\n", flags.Arg(0))
		return errUsage
	}

	o := lists.Options{Seed: *seed, N: *n, Overlap: *overlap, Organisations: lists.Two()}
	if *overlap == 0 {
		o.Overlap = -1
	}
	if *one {
		o.Organisations = o.Organisations[:1]
	}
	if *all {
		for i := range o.Organisations {
			o.Organisations[i].Layout.Columns = lists.AllColumns()
		}
	}
	if *shipped {
		o = lists.Shipped()
	}
	return write(o, *dir, out)
}

func write(o lists.Options, dir string, out io.Writer) error {
	start := time.Now()
	p, err := lists.New(o)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	rows := 0
	for i := range p.Lists() {
		g := p.Organisation(i)
		if err := create(filepath.Join(dir, g.Name+".csv"), func(w io.Writer) error { return p.WriteCSV(w, i) }); err != nil {
			return err
		}
		rows += g.N
	}
	if err := create(filepath.Join(dir, "truth.csv"), p.WriteTruth); err != nil {
		return err
	}
	took := time.Since(start)
	fmt.Fprintf(out, "%d lists, %d contacts in %v (%.0f contacts/s)\n", p.Lists(), rows, took.Round(time.Millisecond), float64(rows)/took.Seconds())
	return nil
}

// create writes a file whole, or leaves what was there.
func create(path string, write func(io.Writer) error) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err = write(f); err != nil {
		return err
	}
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
