package exchange

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"slices"
	"strconv"

	"ihyid/exchange/sealedfile"
	"ihyid/store"
)

// maxFile is how large a file may be: one more byte an element than the largest set of this node, its proofs and its tags, and room for the rest.
func (n *Node) maxFile() int64 { return int64(n.maxVOPRF)*(64+16) + 64<<20 }

// ImportStep takes a file of an exchange that was carried here. Nothing is changed before all of it has been opened and verified. What is in it is acted
// on by a job; the same file again changes nothing.
func (n *Node) ImportStep(ctx context.Context, in io.Reader) (StepFile, error) {
	select { // each may take some megabytes of memory, and some milliseconds for every key that is tried
	case n.importing <- struct{}{}:
		defer func() { <-n.importing }()
	case <-ctx.Done():
		return StepFile{}, ctx.Err()
	}
	keys, err := n.fileKeys(ctx)
	if err != nil {
		return StepFile{}, err
	}
	r, err := sealedfile.NewReader(in, n.maxFile(), keys)
	if err != nil {
		return StepFile{}, badFile(err)
	}
	e, err := readEnvelopeOf(r.Presentation(), maxCredentialsInAFile)
	if err != nil {
		return StepFile{}, err
	}
	var f fileSubject
	if e.Kind != kindFile {
		return StepFile{}, fail(CodeFile, "this file does not begin with what it is (%s)", kindFile)
	}
	if err := readExact(e.Subject, &f); err != nil {
		return StepFile{}, err
	}
	number, err := strconv.Atoi(f.Number)
	if err != nil || number < 1 || number > 98 || strconv.Itoa(number) != f.Number || !isHex(f.Exchange, 16) || !isHex(f.Payload, 32) {
		return StepFile{}, fail(CodeFile, "the number, the exchange or the digest of this file cannot be read")
	}
	if e.Holder == n.DID() {
		return StepFile{}, fail(CodeFile, "this node made that file itself: it is to be carried to the other side")
	}
	peer, err := n.peer(ctx, e.Holder)
	if err != nil {
		return StepFile{}, err
	}
	// Whose exchange it is comes before any lock on it.
	if s, err := n.session(ctx, f.Exchange); err == nil && s.Peer != e.Holder {
		return StepFile{}, fail(CodeUnknownExchange, "there is no exchange %s with %s here", f.Exchange, e.Holder)
	}
	if number == 1 {
		defer n.locks.lock("files of " + e.Holder)()
	}
	take := n.takeReplies
	if number%2 == 1 {
		take = n.takeRequests
	}
	return take(ctx, r, e, &f, number, peer)
}

// endedHere tells this node's people that a file comes too late.
func endedHere(s *session) error {
	switch s.Cancelled {
	case cancelledHere:
		return fail(CodeCancelled, "exchange %s was cancelled at this node on %s, so this file was not taken. Tell the other side, so that they cancel it too: ihyid exchange cancel %s", s.ID, timeText(s.Finished), s.ID)
	case cancelledThere:
		return fail(CodeCancelled, "the other side cancelled exchange %s; this node was told on %s, so this file was not taken", s.ID, timeText(s.Finished))
	}
	return fail(CodeExchangeState, "exchange %s has failed here (%s); begin a new one", s.ID, s.Error)
}

// badFile gives a failure to open a file its code. What is not the file's fault stays as it is.
func badFile(err error) error {
	for _, of := range []error{
		sealedfile.ErrNotAFile, sealedfile.ErrNoKey, sealedfile.ErrDamaged, sealedfile.ErrCutShort, sealedfile.ErrForm, sealedfile.ErrTooLarge,
	} {
		if errors.Is(err, of) {
			return fail(CodeFile, "%w", err) // what it says of the file is for its people to read
		}
	}
	return err
}

// takenBefore reports whether a file was taken before. Another one in its place is a conflict.
func (n *Node) takenBefore(ctx context.Context, e *envelope, f *fileSubject, number int) (*carried, error) {
	c, err := n.carriedFile(ctx, f.Exchange, number)
	if err != nil || c == nil {
		return nil, err
	}
	old, err := readEnvelopeOf(c.Presentation, maxCredentialsInAFile)
	if err != nil {
		return nil, err
	}
	if len(old.Credentials) != len(e.Credentials) {
		return nil, fail(CodeConflict, "another file %d of exchange %s was imported before", number, f.Exchange)
	}
	for i := range old.Credentials {
		if !sameJSON(old.Credentials[i], e.Credentials[i]) {
			return nil, fail(CodeConflict, "another file %d of exchange %s was imported before", number, f.Exchange)
		}
	}
	return c, nil
}

// verifyFile verifies the presentation of a file and its sender, and takes its messages apart; they must be of those kinds.
func (n *Node) verifyFile(ctx context.Context, e *envelope, presentation []byte, f *fileSubject, challenge string, peer *peerRecord, want []kind) (*message, []*message, error) {
	if e.Created.Before(n.now().Add(-fileLife)) {
		return nil, nil, fail(CodeFile, "this file was signed at %s, and a file is good for %d days: have it exported again", timeText(e.Created), int(fileLife.Hours()/24))
	}
	m, err := n.verifyBy(ctx, &documentKeys{resolver: heldResolver{n}, refresh: n.refresh}, presentation, e, e.Holder, challenge)
	if err != nil {
		return nil, nil, err
	}
	if _, err := n.admit(ctx, m, peer, false); err != nil {
		return nil, nil, err
	}
	messages, err := messagesOf(m)
	if err != nil {
		return nil, nil, err
	}
	var got []kind
	for _, m := range messages {
		got = append(got, m.Kind)
		head, err := object(m.Subject)
		if err != nil || text(head, "exchange") != f.Exchange {
			return nil, nil, fail(CodeFile, "a message in this file is of another exchange than the file")
		}
	}
	if !slices.Equal(got, want) {
		return nil, nil, fail(CodeFile, "this file does not hold the messages that its number asks for")
	}
	return m, messages, nil
}

// takeChunks reads the chunks of a file into a spool, to the end of the file; there is none if there are no chunks.
func (n *Node) takeChunks(ctx context.Context, r *sealedfile.Reader, want []piece, payload string) (*store.SpoolWriter, error) {
	var spool *store.SpoolWriter
	give := func(err error) (*store.SpoolWriter, error) {
		if spool != nil {
			err = errors.Join(err, spool.Discard())
		}
		return nil, err
	}
	digest := sealedfile.NewDigest()
	for i := 0; ; i++ {
		c, err := r.Next()
		if err == io.EOF {
			if i != len(want) {
				return give(fail(CodeFile, "this file holds %d chunks of sets, and %d were committed to", i, len(want)))
			}
			break
		}
		if err != nil {
			return give(badFile(err))
		}
		if i >= len(want) || c.Set != want[i].Set || c.Index != want[i].Index || len(c.Data) != want[i].Size {
			return give(fail(CodeFile, "chunk %d in this file is not the one that was committed to", i+1))
		}
		if spool == nil {
			if spool, err = n.store.NewSpool(ctx); err != nil {
				return give(err)
			}
		}
		if _, err := spool.Write(c.Data); err != nil {
			return give(err)
		}
		digest.Add(c.Set, c.Index, c.Data)
	}
	if sum := digest.Sum(); hex.EncodeToString(sum[:]) != payload {
		return give(fail(CodeFile, "the chunks in this file are not those that its sender signed"))
	}
	if spool == nil {
		return nil, nil
	}
	if err := spool.Finish(); err != nil {
		return give(err)
	}
	return spool, nil
}

// takeRequests takes a file of an initiator.
func (n *Node) takeRequests(ctx context.Context, r *sealedfile.Reader, e *envelope, f *fileSubject, number int, peer *peerRecord) (StepFile, error) {
	s, err := n.session(ctx, f.Exchange)
	if err == nil && (s.Role != Responder || !s.ByFile) {
		return StepFile{}, fail(CodeConflict, "exchange %s is not one that %s carries to this node by files", f.Exchange, e.Holder)
	}
	if err != nil && (CodeOf(err) != CodeUnknownExchange || number > 1) {
		if CodeOf(err) == CodeUnknownExchange {
			err = fail(CodeFile, "this is file %d of an exchange that is not known here: import its file 1 first", number)
		}
		return StepFile{}, err
	}
	c, err := n.takenBefore(ctx, e, f, number)
	if err != nil {
		return StepFile{}, err
	}
	if c != nil {
		return n.knownFile(r, s, c)
	}
	challenge, protocol := "", ""
	if s != nil {
		if s.State == StateFailed {
			return StepFile{}, endedHere(s)
		}
		challenge, protocol = s.Challenge, s.Protocol
		if err := inOrder(s, number); err != nil {
			return StepFile{}, err
		}
	}
	if number == 1 {
		if protocol, challenge, err = openingOf(e, f); err != nil {
			return StepFile{}, err
		}
	}
	at := (number - 1) / 2
	if at >= len(legs[protocol]) {
		return StepFile{}, fail(CodeFile, "the protocol %s has no file %d", oneLine(protocol, 40), number)
	}
	l := &legs[protocol][at]
	_, messages, err := n.verifyFile(ctx, e, r.Presentation(), f, challenge, peer, l.requests)
	if err != nil {
		return StepFile{}, err
	}
	// The sets that the file must hold are those that were committed to, here or before.
	expect := &session{Sets: map[string]*committedSet{}}
	if s != nil {
		for k, v := range s.Sets {
			expect.Sets[k] = v
		}
	}
	if number == 1 {
		if err := n.checkFirst(ctx, messages[0], peer); err != nil {
			return StepFile{}, err
		}
	}
	if err := committedIn(expect, messages[0]); err != nil {
		return StepFile{}, err
	}
	spool, err := n.takeChunks(ctx, r, n.piecesOf(expect, l.put), f.Payload)
	if err != nil {
		return StepFile{}, err
	}
	if spool != nil {
		defer spool.Discard()
	}
	// From here on all of the file is known to be good.
	if number == 1 {
		if _, err := n.onOpening(ctx, messages[0], peer); err != nil {
			return StepFile{}, err
		}
	}
	return n.keepFile(ctx, f, r.Presentation(), number, documentDigest(messages[0].Document), n.piecesOf(expect, l.put), spool, func(tx *store.Tx, s *session) (string, error) {
		job, err := n.jobs.Enqueue(tx, jobAnswerFile, fileParams{Exchange: s.ID, Number: number})
		return job.ID, err
	})
}

// knownFile answers for a file that was taken before: nothing changes, but a copy that is damaged is not called good.
func (n *Node) knownFile(r *sealedfile.Reader, s *session, c *carried) (StepFile, error) {
	for {
		if _, err := r.Next(); err == io.EOF {
			break
		} else if err != nil {
			return StepFile{}, badFile(err)
		}
	}
	out := n.stepFile(s, c)
	out.Known = true
	return out, nil
}

// inOrder says what is wrong if a file does not come when it is its turn.
func inOrder(s *session, number int) error {
	switch next := s.FileTaken + 2; {
	case s.FileTaken == 0 && (number == 1 || number == 2):
		return nil
	case s.FileTaken == 0:
		next = 2
		if s.Role == Responder {
			next = 1
		}
		return fail(CodeFile, "this is file %d of exchange %s, and file %d has to come first", number, s.ID, next)
	case number > next:
		return fail(CodeFile, "this is file %d of exchange %s, and file %d has to come first", number, s.ID, next)
	case number == next && s.FileMade < number-1:
		return fail(CodeFile, "this is file %d of exchange %s, and file %d was not made here yet", number, s.ID, number-1)
	case number < next:
		return fail(CodeFile, "this is file %d of exchange %s, which is further on", number, s.ID)
	}
	return nil
}

// openingOf reads from the unverified file what is needed to verify it.
func openingOf(e *envelope, f *fileSubject) (protocol, challenge string, err error) {
	if len(e.Credentials) < 2 {
		return "", "", fail(CodeFile, "the first file of an exchange holds its opening")
	}
	o, err := object(e.Credentials[1])
	if err != nil {
		return "", "", err
	}
	document, _ := opened(o)
	_, subject, err := typeAndSubject(document)
	if err != nil {
		return "", "", err
	}
	in, err := object(subject)
	if err != nil {
		return "", "", err
	}
	challenge, err = openingChallenge(text(in, "agreement"), f.Exchange)
	return text(in, "protocol"), challenge, err
}

// checkFirst holds an opening against this node's limits before its sets are read.
func (n *Node) checkFirst(ctx context.Context, m *message, peer *peerRecord) error {
	var o openingSubject
	if err := m.read(&o); err != nil {
		return err
	}
	if _, err := n.session(ctx, o.Exchange); err == nil {
		return nil // it was taken, and what followed was not; it is judged again with it
	}
	_, err := n.checkOpening(ctx, m, &o, peer)
	return err
}

// committedIn adds the set that a message commits to, if it commits to one.
func committedIn(s *session, m *message) error {
	set, ok := map[kind]string{
		kindOpening: setBundle, kindOffer: setClaims, kindClaimsReply: setClaims, kindAnswers: setAnswers, kindResultReply: setAnswers, kindAcceptanceReply: setTags,
	}[m.Kind]
	if !ok {
		return nil
	}
	in, err := object(m.Subject)
	if err != nil {
		return err
	}
	var c committedSet
	if err := readExact(canonical(in["commitment"]), &c); err != nil {
		return err
	}
	if c.EntrySize <= 0 || c.Count > maxCarriedCount {
		return fail(CodeCommitment, "a set of %d entries is more than a file can hold", c.Count)
	}
	if err := c.Validate(c.EntrySize, maxCarriedCount); err != nil {
		return &Error{Code: CodeCommitment, Detail: "a commitment in this file is wrong", Err: err}
	}
	s.Sets[set] = &c
	return nil
}

// takeReplies takes a file of a responder.
func (n *Node) takeReplies(ctx context.Context, r *sealedfile.Reader, e *envelope, f *fileSubject, number int, peer *peerRecord) (StepFile, error) {
	s, err := n.session(ctx, f.Exchange)
	if err != nil {
		return StepFile{}, err
	}
	if s.Role != Initiator || !s.ByFile || s.Peer != e.Holder {
		return StepFile{}, fail(CodeConflict, "exchange %s is not one that this node carries to %s by files", f.Exchange, e.Holder)
	}
	c, err := n.takenBefore(ctx, e, f, number)
	if err != nil {
		return StepFile{}, err
	}
	if c != nil {
		return n.knownFile(r, s, c)
	}
	if s.State == StateFailed {
		return StepFile{}, endedHere(s)
	}
	if err := inOrder(s, number); err != nil {
		return StepFile{}, err
	}
	sent, err := n.carriedFile(ctx, s.ID, number-1)
	if err != nil {
		return StepFile{}, err
	}
	if sent == nil || !slices.Contains(sent.Bound, e.Challenge) {
		return StepFile{}, fail(CodeChallenge, "this file answers another file %d of the exchange than the one that this node made", number-1)
	}
	l := &legs[s.Protocol][number/2-1]
	m, messages, err := n.verifyFile(ctx, e, r.Presentation(), f, e.Challenge, peer, l.replies())
	if err != nil {
		return StepFile{}, err
	}
	last := number == lastFile(s.Protocol)
	if !last && !isHex(f.Challenge, 32) {
		return StepFile{}, fail(CodeFile, "this file gives no challenge for the next one")
	}
	expect := &session{Sets: map[string]*committedSet{}}
	for k, v := range s.Sets {
		expect.Sets[k] = v
	}
	for _, reply := range messages {
		if err := committedIn(expect, reply); err != nil {
			return StepFile{}, err
		}
	}
	pieces := n.piecesOf(expect, l.get)
	spool, err := n.takeChunks(ctx, r, pieces, f.Payload)
	if err != nil {
		return StepFile{}, err
	}
	if spool != nil {
		defer spool.Discard()
	}
	return n.keepFile(ctx, f, r.Presentation(), number, documentDigest(m.Document), pieces, spool, func(tx *store.Tx, s *session) (string, error) {
		s.Challenge = f.Challenge
		if last {
			return "", n.kept.letters.Put(tx, letterKey(s.ID, messages[0].Kind), letterOf(messages[0]))
		}
		job, err := n.jobs.Enqueue(tx, jobInitiate, sessionParams{Exchange: s.ID})
		s.Job = job.ID
		return job.ID, err
	})
}

// keepFile keeps a verified file, and what is done with it, in one transaction.
func (n *Node) keepFile(ctx context.Context, f *fileSubject, presentation []byte, number int, document string, pieces []piece, spool *store.SpoolWriter,
	also func(tx *store.Tx, s *session) (job string, err error)) (StepFile, error) {
	defer n.locks.lock(f.Exchange)()
	s, err := n.session(ctx, f.Exchange)
	if err != nil {
		return StepFile{}, err
	}
	if s.FileTaken >= number || s.State == StateFailed {
		return StepFile{}, fail(CodeConflict, "exchange %s got on meanwhile; import the file again", s.ID)
	}
	c := &carried{Number: number, Presentation: presentation, Document: document, Pieces: pieces}
	s.FileTaken = number
	err = n.store.Update(ctx, func(tx *store.Tx) error {
		if spool != nil {
			if c.Spool, err = spool.CommitTx(tx); err != nil {
				return err
			}
		}
		if c.Job, err = also(tx, s); err != nil {
			return err
		}
		if err := n.dropPayloads(tx, s.ID, number-1); err != nil {
			return err
		}
		if err := n.kept.carried.Put(tx, carriedKey(s.ID, number), *c); err != nil {
			return err
		}
		return n.putSession(tx, s)
	})
	return n.stepFile(s, c), err
}
