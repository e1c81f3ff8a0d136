package snapshot

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"pgcache/sqlmap/types"
)

// Snapshot is a file that is read.
type Snapshot struct {
	ServerVersion string
	tables        map[[2]string]*Table
}

// Open reads the directory of a file, and nothing of its tables.
func Open(file []byte) (*Snapshot, error) {
	rest, ok := bytes.CutPrefix(file, []byte(magic))
	if !ok || len(rest) < 4 || int(binary.BigEndian.Uint32(rest)) > len(rest)-4 {
		return nil, errors.New("snapshot: not a catalog snapshot")
	}
	length := binary.BigEndian.Uint32(rest)
	var h header
	if err := json.Unmarshal(rest[4:4+length], &h); err != nil {
		return nil, fmt.Errorf("snapshot: header: %w", err)
	}
	rest = rest[4+length:]
	s := &Snapshot{ServerVersion: h.ServerVersion, tables: make(map[[2]string]*Table, len(h.Tables))}
	for _, t := range h.Tables {
		if t.Bytes > len(rest) {
			return nil, errors.New("snapshot: file is cut off")
		}
		s.tables[[2]string{t.Schema, t.Name}] = &Table{Columns: t.Columns, rows: t.Rows, stream: rest[:t.Bytes], columns: make([]column, len(t.Columns))}
		rest = rest[t.Bytes:]
	}
	return s, nil
}

// Table finds a table; nil if there is none.
func (s *Snapshot) Table(schema, name string) *Table { return s.tables[[2]string{schema, name}] }

// Table is a table of a Snapshot.
type Table struct {
	Columns []Column
	rows    int
	stream  []byte
	inflate sync.Once
	columns []column
}

// column is a column, decoded when first used.
type column struct {
	raw    []byte
	decode sync.Once
	nulls  []byte // a bitmap; nil: none
	ints   []int32
	ends   []uint32 // of each text
	texts  []byte
	values []types.Value // of types that are neither
}

// Len is the number of rows.
func (t *Table) Len() int { return t.rows }

// Position finds a column by name; -1 if there is none.
func (t *Table) Position(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// Value is the value of a column in a row.
func (t *Table) Value(row, i int) types.Value {
	c := t.column(i)
	switch {
	case c.values != nil:
		return c.values[row]
	case c.isNull(row):
		return types.Null()
	case c.ints != nil:
		return types.OfInt(t.integer(c.ints[row], i))
	}
	return types.OfBytes(c.text(row))
}

// integer restores what 32 bits hold: oid and xid are unsigned.
func (t *Table) integer(n int32, i int) int64 {
	switch t.Columns[i].Type {
	case types.Oid, types.Xid, types.RegProc:
		return int64(uint32(n))
	}
	return int64(n)
}

func (c *column) isNull(row int) bool { return c.nulls != nil && c.nulls[row/8]>>(row%8)&1 != 0 }

func (c *column) text(row int) []byte {
	start := uint32(0)
	if row > 0 {
		start = c.ends[row-1]
	}
	end := c.ends[row]
	return c.texts[start:end:end]
}

func (t *Table) column(i int) *column {
	t.inflate.Do(t.inflateColumns)
	c := &t.columns[i]
	c.decode.Do(func() { c.decodeAs(t.Columns[i].Type, t.rows) })
	return c
}

func (t *Table) inflateColumns() {
	raw, err := io.ReadAll(flate.NewReader(bytes.NewReader(t.stream)))
	if err != nil {
		panic(fmt.Sprintf("snapshot: damaged table: %v", err))
	}
	for i := range t.columns {
		length, n := binary.Uvarint(raw)
		t.columns[i].raw = raw[n : n+int(length)]
		raw = raw[n+int(length):]
	}
}

func (c *column) decodeAs(oid types.OID, rows int) {
	raw := c.raw[1:]
	if c.raw[0] != 0 {
		c.nulls, raw = raw[:(rows+7)/8], raw[(rows+7)/8:]
	}
	if isInteger(oid) {
		c.ints = make([]int32, rows)
		n := int64(0)
		for row := range c.ints {
			if c.isNull(row) {
				continue
			}
			difference, size := binary.Varint(raw)
			n, raw = n+difference, raw[size:]
			c.ints[row] = int32(n)
		}
		c.raw = nil
		return
	}
	c.ends = make([]uint32, rows)
	end := uint64(0)
	for row := range c.ends {
		if !c.isNull(row) {
			length, size := binary.Uvarint(raw)
			end, raw = end+length, raw[size:]
		}
		c.ends[row] = uint32(end)
	}
	c.texts, c.raw = raw, nil
	if !isStoredAsText(oid) {
		c.parse(oid, rows)
	}
}

// isStoredAsText reports the types whose values are their texts.
func isStoredAsText(oid types.OID) bool {
	return oid.IsText() || oid == types.Char || oid == types.PgNodeTree || oid == types.AclItem
}

// parse makes the values of a column that is neither integers nor texts.
func (c *column) parse(oid types.OID, rows int) {
	values := make([]types.Value, rows)
	for row := range values {
		if c.isNull(row) {
			values[row] = types.Null()
			continue
		}
		v, err := types.ParseText(oid, c.text(row), nil)
		if err != nil {
			panic(fmt.Sprintf("snapshot: %q is no %s: %v", c.text(row), oid, err))
		}
		values[row] = v
	}
	c.values, c.ends, c.texts = values, nil, nil
}
