package quality

// Standing is a kind of simulated lists that is measured.
type Standing struct {
	Name    string
	Profile string
	Large   bool // takes seconds
	Make    func(seed uint64) (Lists, error)
}

// Standard are the simulated lists that are always measured, one of each kind that is asked about.
func Standard() []Standing {
	levant := func(name string, n int, change func(*Rates), names func(Names) Names) Standing {
		return Standing{Name: name, Profile: "levant/1", Large: n > 20_000, Make: func(seed uint64) (Lists, error) {
			all, err := LevantNames()
			if err != nil {
				return Lists{}, err
			}
			if names != nil {
				all = names(all)
			}
			r := DefaultRates()
			if change != nil {
				change(&r)
			}
			return Simulate(all, n, r, seed), nil
		}}
	}
	typists := func(name string, n int, overlap float64, id bool) Standing {
		return Standing{Name: name, Profile: "latin/1", Make: func(seed uint64) (Lists, error) {
			return SimulateTypists(n, overlap, DefaultTypistRates(), id, seed), nil
		}}
	}
	return []Standing{
		levant("Levant, 20,000", 20_000, nil, nil),
		levant("Levant, 100,000", 100_000, nil, nil),
		levant("Levant, few names, twins", 20_000, func(r *Rates) { r.Twins = .03 }, FewNames),
		levant("Levant, half of all parents missing", 20_000, func(r *Rates) { r.NoMother, r.NoFather = .5, .5 }, nil),
		levant("Levant, Arabic against Latin script", 20_000, func(r *Rates) { r.ArabicA, r.ArabicB = .95, .05 }, nil),
		levant("Levant, twice as many slips", 20_000, func(r *Rates) {
			r.Typo, r.OtherDay, r.OtherYear, r.SwapDate = 2*r.Typo, 2*r.OtherDay, 2*r.OtherYear, 2*r.SwapDate
		}, nil),
		typists("typing errors, name and date", 5_000, 1, false),
		typists("typing errors, with a number", 5_000, 1, true),
		{Name: "Ukrainian and Russian names", Profile: "cyrillic/1", Make: func(seed uint64) (Lists, error) {
			names, err := CyrillicNames()
			if err != nil {
				return Lists{}, err
			}
			return Simulate(names, 10_000, DefaultRates(), seed), nil
		}},
	}
}
