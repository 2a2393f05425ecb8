package main

import (
	"fmt"
	"image/color"
	"math"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// colours that people with colour-blindness tell apart (Okabe and Ito, 2008).
var colours = []color.RGBA{{0, 114, 178, 255}, {213, 94, 0, 255}, {0, 158, 115, 255}, {204, 121, 167, 255}, {86, 180, 233, 255}, {230, 159, 0, 255}, {90, 90, 90, 255}}

func draws(r *report, file string, title string, low float64, belongs func(row) bool) error {
	p := plot.New()
	p.Title.Text = title
	p.X.Label.Text = "recall: share of the people in common that are found, %"
	p.Y.Label.Text = "precision: share of what is found that is right, %"
	p.Legend.Left, p.Legend.Top = true, false
	p.Add(plotter.NewGrid())
	i := 0
	for _, x := range r.Matching {
		if !belongs(x) || len(x.Curve) == 0 {
			continue
		}
		var line plotter.XYs
		for _, q := range x.Curve {
			line = append(line, plotter.XY{X: 100 * q.Recall, Y: 100 * q.Precision})
		}
		l, err := plotter.NewLine(line)
		if err != nil {
			return err
		}
		s, err := plotter.NewScatter(plotter.XYs{{X: 100 * x.Match.Recall, Y: 100 * x.Match.Precision}, {X: 100 * x.Review.Recall, Y: 100 * x.Review.Precision}})
		if err != nil {
			return err
		}
		c := colours[i%len(colours)]
		i++
		l.Color, l.Width = c, vg.Points(1.4)
		s.Color, s.Shape, s.Radius = c, draw.CircleGlyph{}, vg.Points(3)
		p.Add(l, s)
		p.Legend.Add(x.Lists, l)
	}
	p.Y.Min, p.Y.Max = low, 100.2
	p.X.Min, p.X.Max = 60, 100
	return p.Save(7*vg.Inch, 4.6*vg.Inch, file)
}

// drawAll writes the plots; each is some 30 kB.
func drawAll(r *report, path func(string) string) error {
	if err := draws(r, path("matching-levant.png"), "levant/1: the dots are match (left) and match with review (right)", 80, func(x row) bool {
		return x.Profile == "levant/1" && x.Lists != "levant-5k"
	}); err != nil {
		return err
	}
	if err := draws(r, path("matching-latin.png"), "latin/1: typing errors in names and dates", 80, func(x row) bool { return x.Profile == "latin/1" }); err != nil {
		return err
	}
	return drawSizes(r, path("matching-size.png"))
}

// drawSizes shows what becomes of the figures as lists grow.
func drawSizes(r *report, file string) error {
	p := plot.New()
	p.Title.Text = "levant/1: the longer the lists, the more strangers look alike"
	p.X.Label.Text = "contacts in each list"
	p.Y.Label.Text = "%"
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.TickerFunc(func(low, high float64) (ticks []plot.Tick) {
		for _, x := range r.sizes {
			ticks = append(ticks, plot.Tick{Value: float64(x.Contacts), Label: thousands(x.Lists)})
		}
		return ticks
	})
	p.Legend.Left = true
	p.Add(plotter.NewGrid())
	for i, s := range []struct {
		name  string
		value func(row) float64
	}{
		{"match: precision", func(x row) float64 { return x.Match.Precision }},
		{"match: recall", func(x row) float64 { return x.Match.Recall }},
		{"with review: recall", func(x row) float64 { return x.Review.Recall }},
		{"with review: precision", func(x row) float64 { return x.Review.Precision }},
	} {
		var line plotter.XYs
		for _, x := range r.sizes {
			line = append(line, plotter.XY{X: math.Max(1, float64(x.Contacts)), Y: 100 * s.value(x)})
		}
		l, dots, err := plotter.NewLinePoints(line)
		if err != nil {
			return err
		}
		l.Color, dots.Color, l.Width = colours[i], colours[i], vg.Points(1.4)
		dots.Shape = draw.CircleGlyph{}
		p.Add(l, dots)
		p.Legend.Add(s.name, l, dots)
	}
	p.Y.Max = 100.5
	return p.Save(7*vg.Inch, 4.2*vg.Inch, file)
}

func thousands(s string) string {
	if n := len(s); n > 3 {
		return fmt.Sprintf("%s,%s", s[:n-3], strings.Repeat("0", 3))
	}
	return s
}
