package lists

// Shipped returns the options of the lists in the folder examples: three organisations, of each of whose people about a quarter
// are known to each of the others.
func Shipped() Options {
	houman := Contact{
		FirstName: "Houman", LastName: "Haddad", MotherFirstName: "Barbara", FatherFirstName: "Michael",
		DateOfBirth: "1976-05-07", Sex: "M", Phone: "+33199000507",
	}
	return Options{
		Seed:    1976_05_07,
		Overlap: .3,
		Organisations: []Organisation{
			{
				Name: "alpha", Prefix: "ALP-", N: 400, Arabic: .2, French: .05,
				Layout: Layout{Columns: []string{"external_id", "first_name", "last_name", "mother_first_name", "father_first_name",
					"date_of_birth", "sex", "phone", "household_id", "location"}},
			},
			{
				Name: "beta", Prefix: "B", N: 350, Arabic: .5, French: .2,
				Layout: Layout{Separator: ';', BOM: true, CRLF: true, Columns: []string{"last_name", "first_name", "father_first_name",
					"mother_first_name", "sex", "date_of_birth", "household_id", "external_id"}},
			},
			{
				Name: "gamma", Prefix: "G-", N: 300, Arabic: .35, French: .8, Upper: .6,
				Layout: Layout{Separator: '\t', Quoted: true, Header: HeaderFrench, Columns: []string{"external_id", "date_of_birth", "sex",
					"first_name", "father_first_name", "last_name", "mother_first_name", "phone", "location"}},
			},
		},
		Include: []Inclusion{{Contact: houman, Lists: []int{0, 1}}},
	}
}
