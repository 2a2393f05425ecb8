package list

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/xuri/excelize/v2"

	"ihyid/contacts"
)

// Bounds of spreadsheets, which can only be read whole. A list of 250,000 contacts fits; longer ones belong into CSV.
const (
	// MaxXLSXBytes bounds the file.
	MaxXLSXBytes = 64 << 20
	// MaxXLSXUnzipped bounds what it unzips to: a few kilobytes can unzip to gigabytes.
	MaxXLSXUnzipped = 128 << 20
	// maxXLSXRow is the last row that a spreadsheet can have.
	maxXLSXRow = 1 << 20
)

// ErrTooLarge is returned for spreadsheets over the bounds.
var ErrTooLarge = errors.New("list: the spreadsheet is too large; save it as \"CSV UTF-8\"")

// xlsxSource gives the rows of a sheet. It goes through the sheet twice side by side: once for the values as they are stored, once
// as they are shown, because only the latter tells a date from a number.
type xlsxSource struct {
	file       *excelize.File
	raw, shown *excelize.Rows
	row        int // the last one read
	width      int
	born       int // column of the date of birth, from 0; -1 if there is none
	date1904   bool
	missing    missing // behind the last row read
	lacking    missing // of the last row read
	wanted     []bool  // columns that hold a field of a contact
}

// openXLSX reads a workbook and the header of its first or named sheet.
func openXLSX(in io.Reader, opts ReaderOptions) (src *xlsxSource, h Header, err error) {
	defer func() {
		// The library is not written for hostile files.
		if recover() != nil {
			src, h, err = nil, Header{}, fmt.Errorf("%w: the spreadsheet is damaged", ErrFormat)
		}
	}()
	all, err := io.ReadAll(io.LimitReader(in, MaxXLSXBytes+1))
	if err != nil {
		return nil, h, fmt.Errorf("reading the spreadsheet: %w", err)
	}
	if len(all) > MaxXLSXBytes {
		return nil, h, ErrTooLarge
	}
	// With both limits equal nothing is ever spilled to a temporary file, where it would lie in plain text.
	f, err := excelize.OpenReader(bytes.NewReader(all), excelize.Options{UnzipSizeLimit: MaxXLSXUnzipped, UnzipXMLSizeLimit: MaxXLSXUnzipped})
	if err != nil {
		if strings.Contains(err.Error(), "unzip size") {
			return nil, h, ErrTooLarge
		}
		return nil, h, fmt.Errorf("%w: not a spreadsheet in the XLSX format, or one with a password", ErrFormat)
	}
	s := &xlsxSource{file: f, born: -1}
	if props, err := f.GetWorkbookProps(); err == nil && props.Date1904 != nil {
		s.date1904 = *props.Date1904
	}
	sheets := f.GetSheetList()
	sheet := opts.Sheet
	if opts.Resume != nil {
		sheet = opts.Resume.Header.Sheet
	}
	if sheet == "" && len(sheets) > 0 {
		sheet = sheets[0]
	}
	if !slices.Contains(sheets, sheet) {
		return nil, h, fmt.Errorf("%w: the workbook has no sheet of that name; capitals and spaces count", ErrHeader)
	}
	if s.missing, err = scanSheet(f, sheet); err != nil {
		return nil, h, err
	}
	if s.raw, err = f.Rows(sheet); err == nil {
		s.shown, err = f.Rows(sheet)
	}
	if err != nil {
		return nil, h, fmt.Errorf("%w: the sheet cannot be read", ErrFormat)
	}
	if opts.Resume != nil {
		h = opts.Resume.Header
		for s.row < opts.Resume.Line-1 {
			if _, _, err := s.next(); err != nil {
				break
			}
		}
	} else if h, err = s.header(opts); err != nil {
		return nil, h, err
	}
	h.Format, h.Sheet = XLSX, sheet
	s.width = len(h.Columns)
	for _, c := range h.Columns {
		_, known := contacts.ParseField(c.Field)
		s.wanted = append(s.wanted, known)
	}
	s.born = slices.IndexFunc(h.Columns, func(c Column) bool { return c.Field == contacts.DateOfBirth.String() })
	return s, h, nil
}

// header takes the first row that is not blank as the header.
func (s *xlsxSource) header(opts ReaderOptions) (Header, error) {
	for {
		_, shown, err := s.next()
		if err == io.EOF {
			return Header{}, fmt.Errorf("%w: the sheet is empty; the workbook may have others", ErrHeader)
		} else if err != nil {
			return Header{}, err
		}
		if len(s.lacking) > 0 {
			return Header{}, fmt.Errorf("%w: the name of a column in row %d %s", ErrHeader, s.row, noValue)
		}
		for len(shown) > 0 && strings.TrimSpace(shown[len(shown)-1]) == "" {
			shown = shown[:len(shown)-1]
		}
		if len(shown) > MaxColumns {
			return Header{}, fmt.Errorf("%w: more than %d columns", ErrHeader, MaxColumns)
		}
		if len(shown) > 0 {
			return makeHeader(shown, opts.Map, opts.PassOver)
		}
	}
}

// next gives a row's cells as they are stored and as they are shown.
func (s *xlsxSource) next() (raw, shown []string, err error) {
	if !s.raw.Next() || !s.shown.Next() {
		if s.raw.Error() != nil {
			return nil, nil, fmt.Errorf("%w: the sheet is damaged behind row %d", ErrFormat, s.row)
		}
		return nil, nil, io.EOF
	}
	if s.row++; s.row > maxXLSXRow {
		return nil, nil, fmt.Errorf("%w: a row number is beyond what a sheet can have", ErrFormat)
	}
	if raw, err = s.raw.Columns(excelize.Options{RawCellValue: true}); err == nil {
		shown, err = s.shown.Columns()
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%w: row %d is damaged", ErrFormat, s.row)
	}
	s.lacking = s.missing.row(s.row)
	return raw, shown, nil
}

func (s *xlsxSource) read(rec *record) (err error) {
	defer func() {
		if recover() != nil {
			err = fmt.Errorf("%w: the spreadsheet is damaged behind row %d", ErrFormat, s.row)
		}
	}()
	raw, shown, err := s.next()
	if err != nil {
		return err
	}
	rec.line = s.row
	rec.next = Position{Offset: int64(s.row), Line: s.row + 1}
	rec.text, rec.ascii = rec.text[:0], false
	for len(raw) > s.width && strings.TrimSpace(raw[len(raw)-1]) == "" {
		raw = raw[:len(raw)-1]
	}
	for i := range max(len(raw), s.width) {
		from := len(rec.text)
		if i < len(raw) {
			as := raw[i]
			if i < len(shown) {
				as = shown[i]
			}
			text, reason := s.cell(i, raw[i], as)
			if reason != "" {
				rec.fail(i+1, reason)
			}
			rec.text = append(rec.text, text...)
		}
		if len(s.lacking) > 0 && i < s.width && s.wanted[i] && s.lacking.has(i+1) {
			rec.fail(i+1, noValue)
		}
		rec.cells = append(rec.cells, cell{from, len(rec.text)})
		if len(rec.text) > MaxRecordBytes {
			rec.fail(0, recordTooLong)
			return nil
		}
	}
	return nil
}

// maxExact is the last number up to which a spreadsheet holds every integer; it shows fifteen digits.
const maxExact = 999_999_999_999_999

// cell reads a cell: dates as dates, numbers without exponents.
func (s *xlsxSource) cell(column int, raw, shown string) (text, reason string) {
	if strings.HasPrefix(raw, "#") && raw == strings.ToUpper(raw) && (strings.HasSuffix(raw, "!") || strings.HasSuffix(raw, "?") || raw == "#N/A") {
		return "", "holds a formula's error"
	}
	number, err := strconv.ParseFloat(raw, 64)
	if err != nil || math.IsNaN(number) || math.IsInf(number, 0) {
		return raw, ""
	}
	if column == s.born && shown != raw && strings.ContainsAny(shown, "-/. :,،年") && !strings.ContainsAny(shown, "eE%") {
		return s.date(number)
	}
	if number == math.Trunc(number) && strings.ContainsAny(raw, ".eE") {
		if math.Abs(number) > maxExact {
			return "", "is a number of more than 15 digits, of which a spreadsheet keeps the first 15; format the column as text"
		}
		return strconv.FormatFloat(number, 'f', 0, 64), ""
	}
	return raw, ""
}

// date turns a spreadsheet's day number into a date.
func (s *xlsxSource) date(number float64) (text, reason string) {
	if number < 1 || number > 200_000 {
		return "", contacts.ErrDateInvalid.Error()
	}
	if number != math.Trunc(number) {
		return "", contacts.ErrDateTime.Error()
	}
	base := time.Date(1899, 12, 30, 0, 0, 0, 0, time.UTC)
	if s.date1904 {
		base = time.Date(1904, 1, 1, 0, 0, 0, 0, time.UTC)
	}
	return base.AddDate(0, 0, int(number)).Format(time.DateOnly), ""
}
