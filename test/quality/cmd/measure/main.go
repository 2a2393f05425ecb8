// Measure measures how well the built-in matching profiles do, prints it as a table, and draws the plots of docs/matching.md.
//
// Simulated lists are always measured, from three seeds; the folder of measuring data only where it is (see package quality).
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"

	"ihyid/test/quality"
)

func main() {
	plots := flag.String("plots", "", "write the plots into this `directory`")
	asJSON := flag.Bool("json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Stdout, *plots, *asJSON); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

// row is a line of the table.
type row struct {
	Lists   string `json:"lists"`
	Profile string `json:"profile"`
	Data    bool   `json:"measuring_data"` // the lists are not the project's own
	Seeds   int    `json:"seeds"`          // how many simulations the figures are the mean of
	quality.Result
}

// report is all that is measured.
type report struct {
	Matching  []row      `json:"matching"`
	Spellings []spelling `json:"spellings"`
	Ceilings  []ceiling  `json:"ceilings"`
	Absent    bool       `json:"measuring_data_absent,omitempty"`
	sizes     []row
}

type spelling struct {
	Names string `json:"names"`
	Code  string `json:"code"`
	quality.Spelling
}

type ceiling struct {
	Lists  string  `json:"lists"`
	Recall float64 `json:"recall"`
}

// seeds of the simulations: the figures are means over them.
var seeds = []uint64{11, 12, 13}

func run(ctx context.Context, out io.Writer, plots string, asJSON bool) error {
	r := report{}
	steps := []func(context.Context, *report) error{simulated, growth, registers, febrl, names}
	for _, step := range steps {
		if err := step(ctx, &r); errors.Is(err, quality.ErrNoData) {
			r.Absent = true
		} else if err != nil {
			return err
		}
	}
	if plots != "" {
		if err := drawAll(&r, func(name string) string { return filepath.Join(plots, name) }); err != nil {
			return fmt.Errorf("drawing the plots: %w", err)
		}
	}
	if asJSON {
		enc := json.NewEncoder(out)
		enc.SetIndent("", "  ")
		return enc.Encode(r)
	}
	show(out, &r)
	return nil
}

func simulated(ctx context.Context, r *report) error {
	for _, s := range quality.Standard() {
		progress(s.Name)
		use := seeds
		if s.Large {
			use = seeds[:1]
		}
		mean, err := measure(ctx, s.Name, s.Profile, use, s.Make)
		if err != nil {
			return err
		}
		r.Matching = append(r.Matching, mean)
	}
	return nil
}

// measure gives the mean over simulations; the curve is that of the first.
func measure(ctx context.Context, name, profile string, seeds []uint64, list func(uint64) (quality.Lists, error)) (row, error) {
	mean := row{Lists: name, Profile: profile, Seeds: len(seeds)}
	n := float64(len(seeds))
	for i, seed := range seeds {
		l, err := list(seed)
		if err != nil {
			return mean, err
		}
		x, err := quality.Measure(ctx, profile, l)
		if err != nil {
			return mean, err
		}
		if i == 0 {
			mean.Curve, mean.Contacts = x.Curve, x.Contacts
		}
		mean.Match.Recall += x.Match.Recall / n
		mean.Match.Precision += x.Match.Precision / n
		mean.Match.FalsePositives += x.Match.FalsePositives
		mean.Match.TruePositives += x.Match.TruePositives
		mean.Match.FalseNegatives += x.Match.FalseNegatives
		mean.Match.F1 += x.Match.F1 / n
		mean.Review.Recall += x.Review.Recall / n
		mean.Review.Precision += x.Review.Precision / n
		mean.Review.FalsePositives += x.Review.FalsePositives
		mean.Review.TruePositives += x.Review.TruePositives
		mean.Review.FalseNegatives += x.Review.FalseNegatives
		mean.Review.F1 += x.Review.F1 / n
	}
	return mean, nil
}

// growth measures how the figures change with the length of the lists.
func growth(ctx context.Context, r *report) error {
	all, err := quality.LevantNames()
	if err != nil {
		return err
	}
	for _, n := range []int{1_000, 3_000, 10_000, 30_000, 100_000} {
		progress(fmt.Sprintf("lists of %d", n))
		x, err := measure(ctx, fmt.Sprint(n), "levant/1", seeds[:1], func(seed uint64) (quality.Lists, error) {
			return quality.Simulate(all, n, quality.DefaultRates(), seed), nil
		})
		if err != nil {
			return err
		}
		r.sizes = append(r.sizes, x)
	}
	return nil
}

func registers(ctx context.Context, r *report) error {
	for _, name := range []string{"levant-5k", "levant-20k"} {
		l, err := quality.DataRegister(name)
		if err != nil {
			return err
		}
		for _, profile := range []string{"soundex/1", "levant/1"} {
			x, err := quality.Measure(ctx, profile, l)
			if err != nil {
				return err
			}
			r.Matching = append(r.Matching, row{name, profile, true, 1, x})
		}
	}
	return nil
}

func febrl(ctx context.Context, r *report) error {
	for _, file := range []string{"dataset1.csv", "dataset2.csv"} {
		for _, five := range []bool{false, true} {
			l, err := quality.DataFEBRL(file, five)
			if err != nil {
				return err
			}
			x, err := quality.Measure(ctx, "latin/1", l)
			if err != nil {
				return err
			}
			name := "FEBRL " + file + ", 3 fields"
			if five {
				name = "FEBRL " + file + ", 5 fields"
			} else {
				r.Ceilings = append(r.Ceilings, ceiling{name, quality.Ceiling(l)})
			}
			r.Matching = append(r.Matching, row{name, "latin/1", true, 1, x})
		}
	}
	return nil
}

func names(_ context.Context, r *report) error {
	add := func(what string, list []quality.Name, normaliser, encoder string) error {
		code, ok := quality.Code(normaliser, encoder)
		if !ok {
			return fmt.Errorf("there is no %s or %s", normaliser, encoder)
		}
		r.Spellings = append(r.Spellings, spelling{what, encoder, quality.MeasureSpelling(list, code)})
		return nil
	}
	own, err := quality.LevantNames()
	if err != nil {
		return err
	}
	cyrillic, err := quality.CyrillicNames()
	if err != nil {
		return err
	}
	given := append(own.Female, own.Male...)
	if err := errors.Join(
		add("own Arabic given names", given, "none/1", "soundex/1"),
		add("own Arabic given names", given, "arabic/1", "arabic-skeleton/1"),
		add("own Arabic family names", own.Family, "arabic/1", "arabic-skeleton/1"),
		add("own Ukrainian and Russian names", append(append(cyrillic.Female, cyrillic.Male...), cyrillic.Family...), "cyrillic/1", "slavic-skeleton/1"),
	); err != nil {
		return err
	}
	data, err := quality.DataNames()
	if err != nil {
		return err
	}
	given = append(data.Female, data.Male...)
	pairs, err := quality.DataCyrillic()
	if err != nil {
		return err
	}
	if err := errors.Join(
		add("Arabic given names", given, "none/1", "soundex/1"),
		add("Arabic given names", given, "arabic/1", "arabic-skeleton/1"),
		add("Arabic family names", data.Family, "arabic/1", "arabic-skeleton/1"),
	); err != nil {
		return err
	}
	for _, c := range [][2]string{{"none/1", "soundex/1"}, {"latin/1", "daitch-mokotoff/1"}, {"cyrillic/1", "slavic-skeleton/1"}} {
		code, _ := quality.Code(c[0], c[1])
		ofNames, ofPeople, collide := quality.MeasurePairs(pairs, code)
		r.Spellings = append(r.Spellings, spelling{fmt.Sprintf("names of the world in Cyrillic (%.1f %% of people)", 100*ofPeople), c[1],
			quality.Spelling{Scripts: ofNames, Collide: collide}})
	}
	return nil
}

func progress(what string) { fmt.Fprintf(os.Stderr, "measuring: %s\n", what) }

func show(out io.Writer, r *report) {
	fmt.Fprintf(out, "%-36s %-10s %8s   %-22s   %s\n", "lists", "profile", "contacts", "match: recall, precision", "with review: recall, precision")
	for _, x := range r.Matching {
		fmt.Fprintf(out, "%-36s %-10s %8d   %7.2f %% %8.2f %%        %7.2f %% %8.2f %%\n", x.Lists, x.Profile, x.Contacts,
			100*x.Match.Recall, 100*x.Match.Precision, 100*x.Review.Recall, 100*x.Review.Precision)
	}
	for _, c := range r.Ceilings {
		fmt.Fprintf(out, "%-36s at most %.1f %% have a first name and a date, or both names and nearly the date, in common\n", c.Lists, 100*c.Recall)
	}
	fmt.Fprintf(out, "\n%-50s %-20s %10s %10s %10s\n", "names", "code", "Latin", "scripts", "collide")
	for _, s := range r.Spellings {
		latin := fmt.Sprintf("%.1f %%", 100*s.Latin)
		if s.Latin == 0 {
			latin = "-"
		}
		fmt.Fprintf(out, "%-50s %-20s %10s %8.1f %% %8.2f ‰\n", s.Names, s.Code, latin, 100*s.Scripts, 1000*s.Collide)
	}
	if r.Absent {
		fmt.Fprintf(out, "\nOnly the project's own lists were measured: %v.\n", quality.ErrNoData)
	}
}
