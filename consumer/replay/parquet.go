package replay

import (
	"io"

	"github.com/parquet-go/parquet-go"

	"verdict/schemas"
)

// rowGroup is how many rows a group of features.parquet has, the last one fewer: it is what is held in memory (a few megabytes), and DuckDB's own size.
const rowGroup = 122_880

// Keys under which features.parquet says which feature set made it.
const (
	metaName    = "verdict.features.name"
	metaVersion = "verdict.features.version"
	metaHash    = "verdict.features.hash"
)

// parquetWriter writes features.parquet: order_id, occurred_at, then each feature as a double that is null where it is missing.
type parquetWriter struct {
	file    *parquet.GenericWriter[any]
	columns []*parquet.ColumnWriter
	values  []parquet.Value // of one column, reused
	held    int             // rows of the group at hand
}

func newParquetWriter(w io.Writer, layout *schemas.Layout) (*parquetWriter, error) {
	taken := []string{"order_id", "occurred_at"}
	if err := free(layout, taken); err != nil {
		return nil, err
	}
	group := columns{Group: make(parquet.Group), names: append(taken, layout.Names...)}
	for _, name := range layout.Names {
		group.Group[name] = parquet.Optional(parquet.Leaf(parquet.DoubleType))
	}
	group.Group["order_id"] = parquet.String()
	group.Group["occurred_at"] = parquet.Timestamp(parquet.Microsecond)
	file := parquet.NewGenericWriter[any](w,
		parquet.NewSchema("features", group),
		parquet.Compression(&parquet.Zstd),
		parquet.KeyValueMetadata(metaName, layout.Features.Name),
		parquet.KeyValueMetadata(metaVersion, layout.Features.Version),
		parquet.KeyValueMetadata(metaHash, layout.Features.Hash))
	return &parquetWriter{file: file, columns: file.ColumnWriters()}, nil
}

// write writes the rows column by column, which spares parquet-go to take each row apart.
func (p *parquetWriter) write(r *rows) error {
	err := p.column(0, r, func(i int) parquet.Value { return parquet.ByteArrayValue([]byte(r.ids[i])) })
	if err != nil {
		return err
	}
	if err := p.column(1, r, func(i int) parquet.Value { return parquet.Int64Value(r.times[i]) }); err != nil {
		return err
	}
	for f := range r.width {
		at := 2 + f
		err := p.column(at, r, func(i int) parquet.Value {
			if v := r.vector(i)[f]; v == v {
				return parquet.DoubleValue(v).Level(0, 1, at)
			}
			return parquet.NullValue().Level(0, 0, at)
		})
		if err != nil {
			return err
		}
	}
	if p.held += len(r.ids); p.held < rowGroup {
		return nil
	}
	p.held = 0
	return p.file.Flush()
}

func (p *parquetWriter) column(at int, r *rows, value func(i int) parquet.Value) error {
	p.values = p.values[:0]
	for i := range r.ids {
		p.values = append(p.values, value(i))
	}
	_, err := p.columns[at].WriteRowValues(p.values)
	return err
}

func (p *parquetWriter) close() error { return p.file.Close() }

// columns is a group whose columns stand in the order of the feature set; parquet.Group sorts them by name.
type columns struct {
	parquet.Group
	names []string
}

// Fields returns the columns in order.
func (c columns) Fields() []parquet.Field {
	byName := make(map[string]parquet.Field, len(c.names))
	for _, f := range c.Group.Fields() {
		byName[f.Name()] = f
	}
	fields := make([]parquet.Field, len(c.names))
	for i, name := range c.names {
		fields[i] = byName[name]
	}
	return fields
}
