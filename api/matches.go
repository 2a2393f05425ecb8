package api

import (
	"context"
	"encoding/csv"
	"io"
	"strconv"
	"strings"

	"ihyid/exchange"
)

// matchColumns is the header of exported matches: what the exchange found, then the own contact.
var matchColumns = []string{
	"tier", "keys", "contact", "external_id", "first_name", "last_name", "mother_first_name", "father_first_name",
	"date_of_birth", "sex", "phone", "national_id", "household_id", "location", "row",
}

// matchesCSV writes matches with the contacts that they are about. A contact that was deleted since
// leaves its fields empty.
func matchesCSV(register Register, matches []exchange.Match) func(context.Context, io.Writer) error {
	return func(ctx context.Context, w io.Writer) error {
		out := csv.NewWriter(w)
		if err := out.Write(matchColumns); err != nil {
			return err
		}
		for _, m := range matches {
			if err := ctx.Err(); err != nil {
				return err
			}
			c, err := register.Get(ctx, m.Contact)
			if err != nil && problemOf(err).Code() != exchange.CodeNotFound {
				return err
			}
			if err := out.Write([]string{
				m.Tier, strings.Join(m.Keys, " "), strconv.FormatUint(m.Contact, 10), m.ExternalID,
				c.FirstName, c.LastName, c.MotherFirstName, c.FatherFirstName, c.DateOfBirth, c.Sex, c.Phone,
				c.NationalID, c.HouseholdID, c.Location, m.Row,
			}); err != nil {
				return err
			}
		}
		out.Flush()
		return out.Error()
	}
}
