package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"ihyid/api/client"
	"ihyid/exchange"
	"ihyid/store/jobs"
)

func (a *app) exchangeExportStep() *cobra.Command {
	var path string
	cmd := &cobra.Command{
		Use:   "export-step ID",
		Short: "Write the file of an exchange that is to be carried to the peer",
		Long: `Write the file of an exchange by file that is to be carried to the peer: the last that
this node made. It is sealed to the peer: who finds the stick learns nothing from it. It
can be written again at any time, if a stick was lost or a file came out damaged.`,
		Example: "  ihyid exchange export-step 5f0c... --out /media/stick/2.ihyid",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				e, err := c.Exchange(cmd.Context(), args[0])
				if err != nil {
					return fmt.Errorf("exchange %s: %w", args[0], err)
				}
				if err := a.exportStep(cmd.Context(), c, e, path); err != nil {
					return err
				}
				if a.json && path != "-" {
					return a.printJSON(stepWritten{e.ID, path, e.Peer, e.Carry})
				}
				return nil
			})
		},
	}
	cmd.Flags().StringVarP(&path, "out", "o", "", "the `file` to write, - for standard output")
	_ = cmd.MarkFlagRequired("out")
	return cmd
}

// stepWritten is what export-step says with --json.
type stepWritten struct {
	Exchange string          `json:"exchange"`
	File     string          `json:"file"`
	Peer     string          `json:"peer"`
	Carry    *exchange.Carry `json:"carry"`
}

func (a *app) exchangeImportStep() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "import-step FILE",
		Short: "Take a file of an exchange that was carried here",
		Long: `Take a file of an exchange that the peer exported, and wait until what is in it is done.
Nothing changes before all of the file has been verified; the same file may be taken
again without harm. --out writes the file that answers it at once.`,
		Example: "  ihyid exchange import-step /media/stick/1.ihyid --out /media/stick/2.ihyid",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return a.with(func(c *client.Client) error {
				return a.importStep(cmd.Context(), c, args[0], out)
			})
		},
	}
	cmd.Flags().StringVarP(&out, "out", "o", "", "write the file that answers it there")
	return cmd
}

// beginByFile starts an exchange by file and waits for its first file.
func (a *app) beginByFile(ctx context.Context, c *client.Client, r exchange.Request, out string) error {
	e, err := c.StartExchange(ctx, r)
	if err != nil {
		return fmt.Errorf("the exchange with %s did not start: %w", r.Peer, err)
	}
	bars := a.progress(ctx)
	defer bars.stop()
	job, err := c.WatchJob(ctx, e.Job, bars.job("making the first file"))
	bars.stop()
	if err != nil {
		return fmt.Errorf("exchange %s: %w", e.ID, err)
	}
	if job.State != jobs.Done {
		return fmt.Errorf("exchange %s: %w", e.ID, jobFailed("the exchange", job))
	}
	if e, err = c.Exchange(ctx, e.ID); err != nil {
		return err
	}
	return a.afterStep(ctx, c, e, out)
}

func (a *app) importStep(ctx context.Context, c *client.Client, path, out string) error {
	in, size, err := a.openInput(path)
	if err != nil {
		return err
	}
	defer in.Close()
	bars := a.progress(ctx)
	defer bars.stop()
	f, err := c.ImportStep(ctx, bars.upload("reading", in, size))
	bars.stop()
	if err != nil {
		return fmt.Errorf("%s was not taken, and nothing was changed: %w", path, err)
	}
	if f.Known {
		a.say("This file was taken before; nothing was changed.")
	}
	e, err := c.Exchange(ctx, f.Exchange)
	if err != nil {
		return err
	}
	if f.Job != "" && e.State != exchange.StateWaiting {
		bars := a.progress(ctx)
		defer bars.stop()
		job, err := c.WatchJob(ctx, f.Job, bars.job("working on it"))
		bars.stop()
		if err != nil {
			return fmt.Errorf("the file was taken; exchange %s goes on in the node (ihyid exchange show %s): %w", e.ID, e.ID, err)
		}
		if job.State != jobs.Done {
			return fmt.Errorf("exchange %s: %w", e.ID, jobFailed("the exchange", job))
		}
		if e, err = c.Exchange(ctx, e.ID); err != nil {
			return err
		}
	}
	return a.afterStep(ctx, c, e, out)
}

// afterStep writes the next file if it is wanted, shows the exchange and says what to do.
func (a *app) afterStep(ctx context.Context, c *client.Client, e exchange.Exchange, out string) error {
	if out != "" && e.Carry != nil && e.Carry.Export > 0 {
		if err := a.exportStep(ctx, c, e, out); err != nil {
			return err
		}
		if e.State != exchange.StateDone || a.json {
			carry := e.Carry
			e.Carry = nil // it has been said
			if a.json {
				e.Carry = carry
			}
			return a.showExchange(e)
		}
		e.Carry = nil
	}
	if err := a.showExchange(e); err != nil {
		return err
	}
	if e.State == exchange.StateFailed {
		return errNo
	}
	return nil
}

// exportStep writes the file that is to be carried now.
func (a *app) exportStep(ctx context.Context, c *client.Client, e exchange.Exchange, path string) error {
	if path == "-" {
		return c.ExportStep(ctx, e.ID, a.out)
	}
	if err := writeWhole(path, func(w io.Writer) error { return c.ExportStep(ctx, e.ID, w) }); err != nil {
		return fmt.Errorf("the file of exchange %s was not written: %w", e.ID, err)
	}
	a.sayCarry(e, path)
	return nil
}

// sayCarry says what is to be carried to whom, and what to do there.
func (a *app) sayCarry(e exchange.Exchange, path string) {
	peer := clean(e.PeerName)
	if peer == "" {
		peer = e.Peer
	}
	if e.State == exchange.StateWaiting {
		a.say("It waits for a decision here: ihyid exchange approve %s, or refuse. Then: ihyid exchange export-step %s --out FILE", e.ID, e.ID)
		return
	}
	if n := e.Carry.Export; n > 0 {
		name := "FILE"
		if path != "" {
			name = filepath.Base(path)
			a.say("Written to %s: file %d of the exchange. Only %s can read it.", path, n, peer)
		} else {
			a.say("Next: ihyid exchange export-step %s --out FILE (file %d of the exchange)", e.ID, n)
		}
		switch {
		case e.State == exchange.StateDone && e.Role == exchange.Responder:
			a.say("If you pass by %s, take it along; nothing waits for it. There: ihyid exchange import-step %s", peer, name)
		case e.State == exchange.StateDone:
			a.say("Carry it to %s: it brings them the receipt. There: ihyid exchange import-step %s", peer, name)
		default:
			a.say("Carry it to %s. There: ihyid exchange import-step %s --out ANSWER", peer, name)
		}
	}
	if n := e.Carry.Import; n > 0 {
		a.say("When file %d has come back: ihyid exchange import-step FILE", n)
	}
}

// openInput opens a file, or standard input if it is named -, and gives its size, 0 if that is not known.
func (a *app) openInput(path string) (io.ReadCloser, int64, error) {
	if path == "-" {
		return io.NopCloser(a.in), 0, nil
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, err
	}
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		return nil, 0, errors.Join(err, f.Close(), fmt.Errorf("%s is not a file", path))
	}
	return f, info.Size(), nil
}

// writeWhole has write write a new file, which has its name only once all of it is on the disk: a stick that is full or pulled out leaves none that looks whole.
func writeWhole(path string, write func(io.Writer) error) error {
	if _, err := os.Lstat(path); err == nil {
		return fmt.Errorf("%s is there already: give another name, or remove it first", path)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".ihyid-*.part")
	if err != nil {
		return err
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		if _, there := os.Lstat(path); there == nil {
			err = fmt.Errorf("%s appeared meanwhile: give another name", path)
		} else {
			err = os.Rename(f.Name(), path)
		}
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	if dir, err := os.Open(filepath.Dir(path)); err == nil {
		_ = dir.Sync() // some file systems of sticks cannot
		return dir.Close()
	}
	return nil
}
