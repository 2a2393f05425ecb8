package sealedfile

import (
	"crypto/hpke"
	"encoding/binary"
	"fmt"
	"io"
)

// A Writer seals one file.
type Writer struct {
	out      io.Writer
	sender   *hpke.Sender
	segment  []byte // plaintext that is not sealed yet, at most SegmentSize
	sealed   []byte
	segments uint64 // sealed so far
	err      error
	closed   bool
}

// NewWriter begins a file to the holder of a key (MLKEM768-X25519), whose DID document has the digest document, with its presentation. It is whole only
// after [Writer.Close].
func NewWriter(out io.Writer, to hpke.PublicKey, document [32]byte, presentation []byte) (*Writer, error) {
	if len(presentation) == 0 || len(presentation) > MaxPresentation {
		return nil, fmt.Errorf("sealedfile: a presentation of %d bytes", len(presentation))
	}
	if to.KEM().ID() != hpke.MLKEM768X25519().ID() {
		return nil, fmt.Errorf("sealedfile: a key of KEM %#04x", to.KEM().ID())
	}
	kdf, aead := suite()
	enc, sender, err := hpke.NewSender(to, kdf, aead, info(document))
	if err != nil {
		return nil, fmt.Errorf("sealedfile: %w", err)
	}
	w := &Writer{out: out, sender: sender, segment: make([]byte, 0, SegmentSize)}
	if _, err := out.Write(append(header[:], enc...)); err != nil {
		return nil, err
	}
	w.write(binary.BigEndian.AppendUint32([]byte{recordPresentation}, uint32(len(presentation))))
	w.write(presentation)
	return w, w.err
}

// Chunk writes one chunk of a set. The order of chunks is the caller's.
func (w *Writer) Chunk(set string, index uint32, data []byte) error {
	if w.closed || len(set) == 0 || len(set) > maxSetName || len(data) > MaxData {
		return fmt.Errorf("sealedfile: a chunk of %d bytes of a set with a name of %d", len(data), len(set))
	}
	w.write(chunkHead(set, index, len(data)))
	w.write(data)
	return w.err
}

func (w *Writer) write(p []byte) {
	for len(p) > 0 && w.err == nil {
		if len(w.segment) == SegmentSize {
			w.seal(flagMore) // only now is it certain that it is not the last
		}
		n := copy(w.segment[len(w.segment):SegmentSize], p)
		w.segment, p = w.segment[:len(w.segment)+n], p[n:]
	}
}

// seal writes the segment at hand, filled up with zeros.
func (w *Writer) seal(flag byte) {
	if w.err != nil {
		return
	}
	n := len(w.segment)
	clear(w.segment[n:SegmentSize])
	ciphertext, err := w.sender.Seal([]byte{flag}, w.segment[:SegmentSize])
	if err != nil {
		w.err = fmt.Errorf("sealedfile: %w", err)
		return
	}
	w.sealed = append(append(w.sealed[:0], flag), ciphertext...)
	_, w.err = w.out.Write(w.sealed)
	w.segment = w.segment[:0]
	w.segments++
}

// Close writes the padding and the last segment. It does not close what it writes to.
func (w *Writer) Close() error {
	if w.closed {
		return w.err
	}
	w.closed = true
	w.write([]byte{recordEnd})
	for all := paddedSegments(w.segments + 1); w.segments+1 < all && w.err == nil; {
		w.seal(flagMore)
	}
	w.seal(flagLast)
	clear(w.segment[:SegmentSize])
	return w.err
}
