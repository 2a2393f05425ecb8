package api

import (
	"context"
	"errors"
	"io"
	"strconv"
	"strings"

	"ihyid/contacts/list"
	"ihyid/exchange"
	"ihyid/exchange/register"
)

// matchColumns stand behind the columns of the own contact.
var matchColumns = []string{"tier", "keys", "contact", "row"}

// matchesCSV writes matches as a contact list with what the exchange found behind each contact. A
// contact that was deleted since leaves its own columns empty.
func matchesCSV(contacts Register, matches []exchange.Match) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		out, err := list.NewWriter(w, list.WriterOptions{Extra: matchColumns})
		if err != nil {
			return err
		}
		for _, m := range matches {
			c, err := contacts.Get(ctx, m.Contact)
			if err != nil && !errors.Is(err, register.ErrNotFound) {
				return err
			}
			if err := out.Write(&c.Contact, m.Tier, strings.Join(m.Keys, " "), strconv.FormatUint(m.Contact, 10), m.Row); err != nil {
				return err
			}
		}
		return out.Close()
	}
}
