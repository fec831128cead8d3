package app

import (
	"context"
	"errors"
	"io"

	"siglab/app/importar"
)

// Import loads CSV files through the same services that the API uses. out gets the summary; what is wrong with the files, and the
// progress bar when terminal says that a person is watching, go to o.Stderr.
func Import(ctx context.Context, o Options, files []string, out io.Writer, terminal bool) (err error) {
	var closers closers
	defer func() { err = errors.Join(err, closers.close()) }()
	tel, err := o.telemetry(ctx)
	if err != nil {
		return err
	}
	closers.add("telemetry", tel.Shutdown)
	st, err := openStores(o.Config, tel)
	if err != nil {
		return err
	}
	closers.add("stores", st.close)
	s, err := build(o.Config, o.Build, tel, st, nil)
	if err != nil {
		return err
	}
	if err := st.prepare(ctx, tel.Log); err != nil {
		return err
	}
	return importar.Run(ctx, importar.Options{
		Files: files, Maquinas: s.maquinas, Mantenimientos: s.mantenimientos, Out: out, Err: o.Stderr, Terminal: terminal,
	})
}
