// Package list reads and writes lists of contacts in files.
//
// A [Reader] gives one [Row] at a time: a contact that is clean and valid, or a [RowError] that says by line, column and field
// what is wrong with that row. A bad row never stops the others; only a file that cannot be read at all (no header, another
// encoding, an input/output error) ends in an error. Memory is bounded whatever the file holds, and neither errors nor
// rows' reasons ever quote a value.
//
// Every row says at which byte the next one begins ([Row.Next]), so that an import can go on in the middle of a file after a crash: open the file
// there and pass the same value as [ReaderOptions.Resume].
//
// Columns are known by their names in several languages (headers.tsv), or by a mapping; a header that names a field twice
// is refused, columns that no field is named by are reported ([Reader.Unknown]).
//
// CSV is RFC 4180 with what spreadsheets make of it: comma, semicolon or tab, found by itself; LF or CRLF; UTF-8 with or without
// a byte order mark; the "sep=;" line. Cells that a spreadsheet would run as a formula are written with an apostrophe before them, which
// the reader takes off again (OWASP, CSV injection).
//
// XLSX (ECMA-376) is read whole, within bounds, and never by way of temporary files; dates are told from numbers by their format. A formula counts by
// the value that was stored with it; a row with one that has none is bad, because a program that never computed it wrote the file.
// JSON Lines is one object a line.
package list
