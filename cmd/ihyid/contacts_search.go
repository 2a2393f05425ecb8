package main

import (
	"strings"

	"github.com/spf13/cobra"

	"ihyid/api"
	"ihyid/api/client"
	"ihyid/exchange/register"
)

func (a *app) contactsSearch() *cobra.Command {
	var q api.SearchRequest
	var limit int
	cmd := &cobra.Command{
		Use:   "search [NAME ...]",
		Short: "Find contacts by name, sound, date of birth, phonetic or external id",
		Long: `Find contacts. The words of NAME are compared with first and last names in any order and
any script, by their beginnings (from two letters) or by their sound: Hooman finds
Houman and هومن. All that is given must hold. What is typed here stays on this machine:
shells keep a history, which may be a reason to type a space first.`,
		Example: "  ihyid contacts search houman had\n  ihyid contacts search --match sound Mohamad --born 1976-05-07\n  ihyid contacts search --phonetic-id 'H550-H330-*-*-19760507'\n  ihyid contacts search --external-id R-4711",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			q.Name = strings.Join(args, " ")
			switch {
			case limit < 1:
				return usagef("--limit must be at least 1")
			case q.Match != "" && q.Match != "start" && q.Match != "sound":
				return usagef("--match must be start or sound")
			case q == (api.SearchRequest{Match: q.Match}):
				return usagef("say whom to search for: a name, --born, --mother, --father, --phonetic-id or --external-id")
			}
			return a.with(func(c *client.Client) error {
				list := []register.Stored{}
				for contact, err := range c.SearchContacts(cmd.Context(), q) {
					if err != nil {
						return err
					}
					if list = append(list, contact); len(list) > limit {
						break
					}
				}
				more := len(list) > limit
				list = list[:min(len(list), limit)]
				if a.json {
					return a.printJSON(itemsOf(list))
				}
				if len(list) == 0 {
					a.say("No contact is like that.")
					return nil
				}
				t := newTable(a.out, "CONTACT", "FIRST NAME", "LAST NAME", "MOTHER", "FATHER", "BORN", "EXTERNAL ID", "PHONETIC ID")
				for _, c := range list {
					t.row(c.ID, c.FirstName, c.LastName, c.MotherFirstName, c.FatherFirstName, c.DateOfBirth, c.ExternalID, c.PhoneticID)
				}
				if err := t.flush(); err != nil {
					return err
				}
				if more {
					a.say("There are more: say more of whom you search for, or --limit %d", 10*limit)
				}
				return nil
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&q.Match, "match", "", "compare names by their beginnings or by their sound only: `start|sound`")
	f.StringVar(&q.Mother, "mother", "", "the mother's first `name`, by its sound")
	f.StringVar(&q.Father, "father", "", "the father's first `name`, by its sound")
	f.StringVar(&q.Born, "born", "", "the `date` of birth, YYYY-MM-DD")
	f.StringVar(&q.PhoneticID, "phonetic-id", "", "the phonetic `id` of the original scheme; each part may be *")
	f.StringVar(&q.ExternalID, "external-id", "", "the external `id`, whole")
	f.IntVar(&limit, "limit", 100, "show at most this many")
	return cmd
}
