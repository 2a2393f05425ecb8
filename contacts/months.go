package contacts

import "strings"

// monthNames lists each month's names in lower case: English, French, Arabic (Levant and Iraq, Egypt and Gulf, Maghreb),
// Ukrainian and Russian (as they stand in a date).
var monthNames = [12]string{
	"january|jan|janvier|janv|يناير|كانون الثاني|جانفي|січня|січ|января|янв",
	"february|feb|février|fevrier|févr|fevr|fév|fev|فبراير|شباط|فيفري|лютого|лют|февраля|фев",
	"march|mar|mars|مارس|آذار|اذار|березня|бер|марта|мар",
	"april|apr|avril|avr|أبريل|ابريل|إبريل|نيسان|أفريل|افريل|квітня|квіт|апреля|апр",
	"may|mai|مايو|أيار|ايار|ماي|травня|трав|мая|май",
	"june|jun|juin|يونيو|يونيه|حزيران|جوان|червня|черв|июня|июн",
	"july|jul|juillet|juil|يوليو|يوليه|تموز|جويلية|липня|лип|июля|июл",
	"august|aug|août|aout|أغسطس|اغسطس|آب|اب|أوت|اوت|серпня|серп|августа|авг",
	"september|sep|sept|septembre|سبتمبر|أيلول|ايلول|вересня|вер|сентября|сен|сент",
	"october|oct|octobre|أكتوبر|اكتوبر|تشرين الأول|تشرين الاول|жовтня|жовт|октября|окт",
	"november|nov|novembre|نوفمبر|تشرين الثاني|листопада|лист|ноября|ноя|нояб",
	"december|dec|décembre|decembre|déc|ديسمبر|كانون الأول|كانون الاول|грудня|груд|декабря|дек",
}

var months = func() map[string]int {
	m := make(map[string]int)
	for i, names := range monthNames {
		for _, name := range splitNames(names) {
			m[name] = i + 1
		}
	}
	return m
}()

func splitNames(names string) []string { return strings.Split(names, "|") }
