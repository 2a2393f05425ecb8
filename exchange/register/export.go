package register

import (
	"context"
	"io"

	"ihyid/contacts/list"
)

// Export writes all contacts as a list that an import reads back, in the format given; "" is CSV. It streams: memory does not grow with the register,
// and nothing is put into temporary files. Cells that a spreadsheet would take for a formula are made harmless. A workbook holds at most
// 1,048,575 contacts: more are list.ErrTooLarge.
func (r *Register) Export(ctx context.Context, w io.Writer, format list.Format) error {
	out, err := list.NewWriter(w, list.WriterOptions{Format: format})
	if err != nil {
		return err
	}
	err = r.each(ctx, func(batch []Stored) error {
		for i := range batch {
			if err := out.Write(&batch[i].Contact); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return out.Close()
}
