package quality

// floors are what was reached on the standard lists, less the luck of a seed.
var floors = map[string]floor{
	"Levant, 20,000":                      {.9, .98, .9},
	"Levant, few names, twins":            {.9, .98, .9},
	"Levant, half of all parents missing": {.7, .98, .8},
	"Levant, Arabic against Latin script": {.9, .98, .9},
	"Levant, twice as many slips":         {.8, .98, .9},
	"typing errors, name and date":        {.7, .99, .8},
	"typing errors, with a number":        {.9, .99, .9},
	"Ukrainian and Russian names":         {.8, .98, .9},
}
