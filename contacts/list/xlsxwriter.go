package list

import (
	"archive/zip"
	"bufio"
	"encoding/xml"
	"io"
)

// xlsxWriter writes the least workbook that spreadsheets open (ECMA-376, part 1): one sheet of text cells. It is written here and
// not by the library that reads workbooks, because that one spills long sheets to temporary files in plain text. As every
// cell is text, none is a formula, and no date or number changes on the way.
type xlsxWriter struct {
	zip   *zip.Writer
	sheet *bufio.Writer
	rows  int
}

// xlsxParts are the parts of the workbook besides the sheet.
var xlsxParts = []struct{ name, text string }{
	{"[Content_Types].xml", `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Default Extension="xml" ContentType="application/xml"/>` +
		`<Override PartName="/xl/workbook.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.sheet.main+xml"/>` +
		`<Override PartName="/xl/worksheets/sheet1.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.worksheet+xml"/>` +
		`<Override PartName="/xl/styles.xml" ContentType="application/vnd.openxmlformats-officedocument.spreadsheetml.styles+xml"/></Types>`},
	{"_rels/.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>`},
	{"xl/workbook.xml", `<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships">` +
		`<sheets><sheet name="contacts" sheetId="1" r:id="rId1"/></sheets></workbook>`},
	{"xl/_rels/workbook.xml.rels", `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/>` +
		`<Relationship Id="rId2" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/styles" Target="styles.xml"/></Relationships>`},
	// Style 1 is the number format "text": cells that a person edits later stay text too.
	{"xl/styles.xml", `<styleSheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main">` +
		`<fonts count="1"><font/></fonts><fills count="1"><fill/></fills><borders count="1"><border/></borders>` +
		`<cellStyleXfs count="1"><xf/></cellStyleXfs><cellXfs count="2"><xf/><xf numFmtId="49" applyNumberFormat="1"/></cellXfs></styleSheet>`},
}

func newXLSXWriter(out io.Writer) (*xlsxWriter, error) {
	w := &xlsxWriter{zip: zip.NewWriter(out)}
	for _, part := range xlsxParts {
		p, err := w.zip.Create(part.name)
		if err != nil {
			return nil, err
		}
		if _, err := io.WriteString(p, xml.Header+part.text); err != nil {
			return nil, err
		}
	}
	sheet, err := w.zip.Create("xl/worksheets/sheet1.xml")
	if err != nil {
		return nil, err
	}
	w.sheet = bufio.NewWriterSize(sheet, 64<<10)
	_, err = w.sheet.WriteString(xml.Header + `<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>`)
	return w, err
}

func (w *xlsxWriter) row(cells []string) error {
	if w.rows++; w.rows > maxXLSXRow {
		return ErrTooLarge
	}
	w.sheet.WriteString("<row>")
	for _, s := range cells {
		if s == "" {
			w.sheet.WriteString("<c/>")
			continue
		}
		// Text cells need no guard, but what looks guarded must stay as it is when it is read back.
		if isGuarded(s) {
			s = "'" + s
		}
		w.sheet.WriteString(`<c s="1" t="inlineStr"><is><t xml:space="preserve">`)
		if err := xml.EscapeText(w.sheet, []byte(s)); err != nil {
			return err
		}
		w.sheet.WriteString("</t></is></c>")
	}
	_, err := w.sheet.WriteString("</row>")
	return err
}

func (w *xlsxWriter) close() error {
	w.sheet.WriteString("</sheetData></worksheet>")
	if err := w.sheet.Flush(); err != nil {
		return err
	}
	return w.zip.Close()
}
