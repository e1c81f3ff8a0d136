package snapshot

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"pgcache/sqlmap/types"
)

const magic = "pgcatalog1\n"

// Owner is the role that owns the catalog, in place of the one that made the cluster.
const Owner = "pgcache"

// header describes the tables of a file.
type header struct {
	ServerVersion string        `json:"server_version"`
	Tables        []tableHeader `json:"tables"`
}

type tableHeader struct {
	Schema  string   `json:"schema"`
	Name    string   `json:"name"`
	Columns []Column `json:"columns"`
	Rows    int      `json:"rows"`
	Bytes   int      `json:"bytes"` // of the stream
}

// Column is a column of a table.
type Column struct {
	Name string    `json:"name"`
	Type types.OID `json:"type"`
}

// Content is a table to be written: a row has the text form of each column, nil for NULL.
type Content struct {
	Schema, Name string
	Columns      []Column
	Rows         [][]*string
}

// Write makes a file.
func Write(serverVersion string, tables []Content) ([]byte, error) {
	h := header{ServerVersion: serverVersion}
	var streams []byte
	for _, t := range tables {
		stream, err := deflate(&t)
		if err != nil {
			return nil, fmt.Errorf("snapshot: %s.%s: %w", t.Schema, t.Name, err)
		}
		h.Tables = append(h.Tables, tableHeader{t.Schema, t.Name, t.Columns, len(t.Rows), len(stream)})
		streams = append(streams, stream...)
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("snapshot: header: %w", err)
	}
	out := binary.BigEndian.AppendUint32([]byte(magic), uint32(len(text)))
	return append(append(out, text...), streams...), nil
}

func deflate(t *Content) ([]byte, error) {
	var raw []byte
	for i := range t.Columns {
		column, err := encodeColumn(t.Columns[i].Type, t.Rows, i)
		if err != nil {
			return nil, fmt.Errorf("column %s: %w", t.Columns[i].Name, err)
		}
		raw = binary.AppendUvarint(raw, uint64(len(column)))
		raw = append(raw, column...)
	}
	var out bytes.Buffer
	w, err := flate.NewWriter(&out, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(raw); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// isInteger reports the types that are stored as integers.
func isInteger(t types.OID) bool {
	switch t {
	case types.Bool, types.Int2, types.Int4, types.Oid, types.Xid, types.RegProc:
		return true
	}
	return false
}

func encodeColumn(t types.OID, rows [][]*string, column int) ([]byte, error) {
	nulls := make([]byte, (len(rows)+7)/8)
	hasNulls := false
	for i, row := range rows {
		if row[column] == nil {
			nulls[i/8] |= 1 << (i % 8)
			hasNulls = true
		}
	}
	out := []byte{0}
	if hasNulls {
		out = append([]byte{1}, nulls...)
	}
	if isInteger(t) {
		before := int64(0)
		for _, row := range rows {
			if row[column] == nil {
				continue
			}
			n, err := integerOf(t, *row[column])
			if err != nil {
				return nil, err
			}
			out, before = binary.AppendVarint(out, n-before), n
		}
		return out, nil
	}
	var texts []byte
	for _, row := range rows {
		if row[column] != nil {
			out = binary.AppendUvarint(out, uint64(len(*row[column])))
			texts = append(texts, *row[column]...)
		}
	}
	return append(out, texts...), nil
}

func integerOf(t types.OID, text string) (int64, error) {
	if t == types.Bool {
		v, err := types.ParseText(t, []byte(text), nil)
		return v.Int, err
	}
	return strconv.ParseInt(text, 10, 64)
}
