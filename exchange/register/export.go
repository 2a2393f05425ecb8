package register

import (
	"context"
	"io"

	"ihyid/contacts/list"
)

// Export writes all contacts as a list that Import reads back.
func (r *Register) Export(ctx context.Context, w io.Writer) error {
	out, err := list.NewWriter(w, list.WriterOptions{})
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
