package quality

// floors are what was reached on the standard lists, less the luck of a seed.
var floors = map[string]floor{
	"Levant, 20,000":                      {.93, .992, .97},
	"Levant, few names, twins":            {.915, .987, .965},
	"Levant, half of all parents missing": {.81, .994, .92},
	"Levant, Arabic against Latin script": {.93, .991, .97},
	"Levant, twice as many slips":         {.90, .991, .955},
	"typing errors, name and date":        {.72, .998, .8},
	"typing errors, with a number":        {.95, .999, .955},
	"Ukrainian and Russian names":         {.85, .98, .91},
}
