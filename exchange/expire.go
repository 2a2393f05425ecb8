package exchange

import (
	"context"
	"errors"

	"ihyid/store"
	"ihyid/store/jobs"
)

// expireSessions ends exchanges in which nothing has happened for too long, because the other side went silent, and those whose job has ended
// without them: cancelled before it ran, or given up.
func (n *Node) expireSessions(ctx context.Context) error {
	var open []session
	err := n.store.View(ctx, func(tx *store.Tx) error {
		for item, err := range n.kept.sessions.All(tx, store.Range{}) {
			if err != nil {
				return err
			}
			if s := &item.Value; !s.State.Finished() || s.Retain > 0 && !s.Purged && n.now().After(s.Finished.Add(s.Retain)) {
				open = append(open, item.Value)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	var errs []error
	for _, s := range open {
		if s.State.Finished() {
			errs = append(errs, n.purge(ctx, s.ID))
			continue
		}
		why := n.overdue(ctx, &s)
		if why == nil && !(s.gave() && n.resting(&s)) {
			continue
		}
		// A job that is at work on it holds the lock; it will be looked at again.
		if unlock, ok := n.locks.tryLock(s.ID); ok {
			errs = append(errs, n.expire(ctx, s.ID), n.recordResting(ctx, s.ID))
			unlock()
		}
	}
	return errors.Join(errs...)
}

// overdue says why an exchange has to end now; nil if it has not.
func (n *Node) overdue(ctx context.Context, s *session) error {
	job, err := n.jobs.Get(ctx, s.Job)
	switch {
	case errors.Is(err, jobs.ErrNotFound):
	case err != nil:
		return nil
	case job.State == jobs.Cancelled:
		return errCancelled
	case job.State == jobs.Failed:
		return errors.New(job.Error)
	}
	life := n.sessionLife
	if s.ByFile {
		life = max(life, fileLife) // people carry it
	}
	if s.State == StateWaiting || s.Role == Initiator && s.State == StateAccepted {
		life = max(life, approvalLife) // an operator may take some days
	}
	if s.gave() || s.Role == Initiator && s.Protocol == ProtocolVOPRF && s.Transcript != "" {
		life = max(life, unfinishedLife) // to end it is to be refused the next one
	}
	if s.Updated.Before(n.now().Add(-life)) && n.hasListened() {
		return fail(CodeUnfinished, "nothing was heard of the other side for %s", life)
	}
	return nil
}

func (n *Node) expire(ctx context.Context, id string) error {
	s, err := n.session(ctx, id)
	if err != nil || s.State.Finished() {
		return err
	}
	why := n.overdue(ctx, s)
	if why == nil {
		return nil
	}
	if errors.Is(why, errCancelled) { // before its job ran, or while the node stopped
		if err := n.mayCancel(ctx, s, true); err != nil {
			return n.revive(ctx, s)
		}
	}
	return n.endSession(ctx, s, why)
}
