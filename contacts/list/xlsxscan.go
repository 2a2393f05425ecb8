package list

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/xuri/excelize/v2"
)

// missing are the cells of a sheet that hold a formula and no value: each is row*missingRow + column, both from 1, in ascending order.
type missing []uint32

// missingRow is more than the columns that are looked at.
const missingRow = 128

const noValue = "holds a formula whose value is not stored in the file; open it in a spreadsheet program, save it there, and import it again"

// scanSheet goes through the XML of a sheet for what the library passes over in silence: formulas that whoever wrote the file
// never computed, which would come in as empty cells, and XML that breaks off or is wrong, where the library takes the rows so far for all.
//
// A formula's value is the cell's v element (ECMA-376 part 1, 18.3.1.4 and 18.3.1.96). One that is there and empty is a value only of
// a text formula. Some libraries write 0 in its place and set fullCalcOnLoad (18.2.2), which has a spreadsheet program compute all.
func scanSheet(f *excelize.File, sheet string) (missing, error) {
	part, ok := sheetPart(f, sheet)
	if !ok {
		return nil, fmt.Errorf("%w: the sheet cannot be read", ErrFormat)
	}
	placeholders := false
	if p, err := f.GetCalcProps(); err == nil && p.FullCalcOnLoad != nil {
		placeholders = *p.FullCalcOnLoad
	}
	d := xml.NewDecoder(bytes.NewReader(part))
	d.CharsetReader = f.CharsetReader
	var out missing
	// Rows and columns are counted as the library counts them, so that both speak of the same cell.
	row, declared, column := 1, 0, 0
	var c cellScan
	for {
		token, err := d.Token()
		if err == io.EOF && declared == 0 {
			return out, nil // a chart sheet has no rows
		}
		if err != nil {
			return nil, fmt.Errorf("%w: the sheet is damaged at or behind row %d", ErrFormat, row)
		}
		switch t := token.(type) {
		case xml.StartElement:
			switch t.Name.Local {
			case "row":
				declared++
				if r, _ := strconv.Atoi(attribute(t.Attr, "r")); r != 0 {
					declared = r
				}
				if declared > maxXLSXRow {
					return nil, fmt.Errorf("%w: a row number is beyond what a sheet can have", ErrFormat)
				}
				if declared > row {
					row, column = declared, 0
				}
			case "c":
				column++
				c = cellScan{text: attribute(t.Attr, "t") == "str"}
				if name := attribute(t.Attr, "r"); name != "" {
					if column, _, err = excelize.CellNameToCoordinates(name); err != nil {
						return nil, fmt.Errorf("%w: row %d is damaged", ErrFormat, row)
					}
				}
			case "f":
				c.formula = true
			case "v":
				c.inValue, c.hasValue = true, true
			}
		case xml.CharData:
			if c.inValue {
				c.zero = !c.filled && string(t) == "0"
				c.filled = c.filled || len(t) > 0
			}
		case xml.EndElement:
			switch t.Name.Local {
			case "v":
				c.inValue = false
			case "c":
				if c.formula && !c.computed(placeholders) && column < missingRow {
					out = append(out, uint32(row*missingRow+column))
				}
			case "sheetData":
				slices.Sort(out)
				return out, nil
			}
		}
	}
}

// cellScan is what is seen of a cell.
type cellScan struct {
	formula, text, inValue, hasValue, filled, zero bool
}

func (c *cellScan) computed(placeholders bool) bool {
	if !c.hasValue || !c.filled && !c.text {
		return false
	}
	return !placeholders || c.text || !c.zero
}

// row gives the columns of a row that miss a value, and takes off the rows up to it.
func (m *missing) row(row int) (columns missing) {
	from, _ := slices.BinarySearch(*m, uint32(row*missingRow))
	to, _ := slices.BinarySearch(*m, uint32((row+1)*missingRow))
	columns, *m = (*m)[from:to], (*m)[to:]
	return columns
}

// has says whether the column, from 1, misses its value; m is of one row.
func (m missing) has(column int) bool {
	return slices.ContainsFunc(m, func(at uint32) bool { return int(at%missingRow) == column })
}

// sheetPart gives the XML of a sheet, by the relationships of the package (ECMA-376 part 2, 6.5).
func sheetPart(f *excelize.File, sheet string) ([]byte, bool) {
	workbook := ""
	for _, r := range relations(f, "") {
		if strings.HasSuffix(r.Type, "/officeDocument") {
			workbook = r.from("")
			break
		}
	}
	if workbook == "" || f.WorkBook == nil {
		return nil, false
	}
	for _, s := range f.WorkBook.Sheets.Sheet {
		if s.Name != sheet {
			continue
		}
		for _, r := range relations(f, workbook) {
			if r.ID == s.ID {
				return part(f, r.from(workbook))
			}
		}
	}
	return nil, false
}

func part(f *excelize.File, name string) ([]byte, bool) {
	b, _ := f.Pkg.Load(name)
	out, ok := b.([]byte)
	return out, ok
}

type relation struct {
	ID     string `xml:"Id,attr"`
	Type   string `xml:"Type,attr"`
	Target string `xml:"Target,attr"`
}

// from gives the name of the part that is meant by a relation of another.
func (r relation) from(source string) string {
	target := strings.ReplaceAll(r.Target, `\`, "/")
	if !strings.HasPrefix(target, "/") {
		target = path.Join("/", path.Dir(source), target)
	}
	return strings.TrimPrefix(path.Clean(target), "/")
}

// relations gives those of a part, or of the package ("").
func relations(f *excelize.File, of string) []relation {
	dir, base := path.Split(of)
	b, ok := part(f, dir+"_rels/"+base+".rels")
	if !ok {
		return nil
	}
	var all struct {
		Relationship []relation
	}
	d := xml.NewDecoder(bytes.NewReader(b))
	d.CharsetReader = f.CharsetReader
	if d.Decode(&all) != nil {
		return nil
	}
	return all.Relationship
}

func attribute(attrs []xml.Attr, name string) string {
	for _, a := range attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
