package outbound

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// TestBodyCutByTime reads a reply that seems to end just when its time is over.
func TestBodyCutByTime(t *testing.T) {
	for name, tc := range map[string]struct {
		end  func() (context.Context, context.CancelFunc)
		want error
	}{
		"in time": {func() (context.Context, context.CancelFunc) { return context.WithCancel(t.Context()) }, nil},
		"given up": {func() (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			return ctx, cancel
		}, context.Canceled},
		"out of time": {func() (context.Context, context.CancelFunc) {
			return context.WithDeadline(t.Context(), time.Unix(1, 0))
		}, ErrTimeout},
	} {
		ctx, cancel := tc.end()
		defer cancel()
		body := &boundedBody{ctx: ctx, body: io.NopCloser(strings.NewReader(`{"half":`)), left: 100, max: 100, host: "a.example"}
		if _, err := io.ReadAll(body); !errors.Is(err, tc.want) || (err == nil) != (tc.want == nil) {
			t.Errorf("%s: %v, want %v", name, err, tc.want)
		}
	}
}
