package main

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// createFile makes a file that only its owner may read; one that is there already is never written
// over.
func createFile(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s is there already: give another name, or remove it first", path)
	}
	return f, err
}

// toFile has write write to a new file, which is removed again if that fails, or to standard output
// if path is "" or "-".
func (a *app) toFile(path string, write func(io.Writer) error) error {
	if path == "" || path == "-" {
		return write(a.out)
	}
	f, err := createFile(path)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Close()); err != nil {
		_ = os.Remove(path)
		return err
	}
	a.say("Written to %s", path)
	return nil
}

// readFile reads a file of at most max bytes.
func readFile(path string, max int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > max {
		return nil, fmt.Errorf("%s is larger than the %d bytes that are allowed", path, max)
	}
	return data, nil
}

// readInput reads a file, or standard input if it is named -.
func (a *app) readInput(name string, max int64) ([]byte, error) {
	if name != "-" {
		return readFile(name, max)
	}
	text, err := io.ReadAll(io.LimitReader(a.in, max+1))
	if err == nil && int64(len(text)) > max {
		err = fmt.Errorf("standard input holds more than the %d bytes that are allowed", max)
	}
	return text, err
}
