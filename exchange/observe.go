package exchange

import (
	"context"
	"errors"

	"ihyid/store/jobs"
)

// Stage is a step of an exchange as observers see it: who this node is in it, and where it stands. It tells neither which exchange nor with whom.
type Stage struct {
	Role     Role
	Protocol string
	State    State // before the step
}

// observe tells an observer, if there is one, that a step begins.
func (n *Node) observe(ctx context.Context, s *session) (context.Context, func(error)) {
	if n.observer == nil {
		return ctx, func(error) {}
	}
	ctx, ended := n.observer(ctx, Stage{Role: s.Role, Protocol: s.Protocol, State: s.State})
	return ctx, func(err error) { ended(outcomeOf(ctx, err)) }
}

// outcomeOf names what came of a step by one of this program's own words: "" if it went on, "waiting" for the other side, for people, or for a
// better line, the code of a failure, "error" for one that has none.
func outcomeOf(ctx context.Context, err error) string {
	switch {
	case err == nil:
		return ""
	case errors.Is(context.Cause(ctx), jobs.ErrCancelled):
		return "cancelled"
	case ctx.Err() != nil:
		return "stopped"
	case errors.As(err, new(waitError)), errors.As(err, new(awaitsFile)):
		return "waiting"
	case CodeOf(err) != "":
		return string(CodeOf(err))
	}
	return "error"
}
