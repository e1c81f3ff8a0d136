package main

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// table is a relation as it was read. Cells are text forms, nil for NULL.
type table struct {
	columns []string
	types   []string
	rows    [][]*string
}

func (t *table) position(column string) int {
	for i, name := range t.columns {
		if name == column {
			return i
		}
	}
	return -1
}

// cell is the text of a column, "" for NULL.
func (t *table) cell(row []*string, column string) string {
	if p := row[t.position(column)]; p != nil {
		return *p
	}
	return ""
}

// source is everything that was read, by "schema.name".
type source struct {
	version string
	tables  map[string]*table
}

// dumped is a relation of a dump.
type dumped struct {
	Kind  string   `json:"kind"`
	Cols  []string `json:"cols"`
	Types []string `json:"types"`
	Rows  [][]any  `json:"rows"`
}

func readDump(_ context.Context, name string) (*source, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unzipped, err := gzip.NewReader(file)
	if err != nil {
		return nil, err
	}
	var relations map[string]dumped
	if err := json.NewDecoder(unzipped).Decode(&relations); err != nil {
		return nil, err
	}
	s := &source{tables: make(map[string]*table)}
	for name, d := range relations {
		if d.Kind != "r" && name != "pg_catalog.pg_timezone_abbrevs" {
			continue
		}
		t := &table{columns: d.Cols, types: d.Types}
		for _, cells := range d.Rows {
			row := make([]*string, len(cells))
			for i, cell := range cells {
				if row[i], err = cellText(cell, d.Types[i]); err != nil {
					return nil, fmt.Errorf("%s.%s: %w", name, d.Cols[i], err)
				}
			}
			t.rows = append(t.rows, row)
		}
		s.tables[name] = t
	}
	for _, setting := range relations["pg_catalog.pg_settings"].Rows {
		if setting[0] == "server_version" {
			s.version, _, _ = strings.Cut(setting[1].(string), " ")
		}
	}
	return s, nil
}

// cellText is the text form of a cell. Lists come as JSON, in a string.
func cellText(cell any, typeName string) (*string, error) {
	if cell == nil {
		return nil, nil
	}
	text, ok := cell.(string)
	if !ok {
		return nil, errors.New("a cell that is no text")
	}
	isVector := strings.HasSuffix(typeName, "vector")
	if !isVector && !strings.HasSuffix(typeName, "[]") {
		return &text, nil
	}
	var items []*string
	if err := json.Unmarshal([]byte(text), &items); err != nil {
		return nil, err
	}
	parts := make([]string, len(items))
	for i, item := range items {
		switch {
		case item == nil:
			parts[i] = "NULL"
		case isVector:
			parts[i] = *item
		default:
			parts[i] = `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(*item) + `"`
		}
	}
	if text = strings.Join(parts, " "); !isVector {
		text = "{" + strings.Join(parts, ",") + "}"
	}
	return &text, nil
}

// readServer reads the tables of pg_catalog and information_schema. Functions are read as
// OIDs: their names may be ambiguous.
func readServer(ctx context.Context, url string) (*source, error) {
	conn, err := pgconn.Connect(ctx, url)
	if err != nil {
		return nil, err
	}
	defer conn.Close(ctx)
	s := &source{tables: make(map[string]*table)}
	s.version, _, _ = strings.Cut(conn.ParameterStatus("server_version"), " ")
	columns := conn.ExecParams(ctx, `SELECT n.nspname || '.' || c.relname, a.attname, format_type(a.atttypid, a.atttypmod)
		FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_attribute a ON a.attrelid = c.oid
		WHERE n.nspname IN ('pg_catalog', 'information_schema') AND a.attnum > 0 AND NOT a.attisdropped
		  AND (c.relkind = 'r' OR c.relname = 'pg_timezone_abbrevs') ORDER BY c.oid, a.attnum`, nil, nil, nil, nil).Read()
	if columns.Err != nil {
		return nil, columns.Err
	}
	for _, row := range columns.Rows {
		name := string(row[0])
		if s.tables[name] == nil {
			s.tables[name] = &table{}
		}
		t := s.tables[name]
		t.columns, t.types = append(t.columns, string(row[1])), append(t.types, string(row[2]))
	}
	for name, t := range s.tables {
		if err := t.read(ctx, conn, name); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return s, nil
}

func (t *table) read(ctx context.Context, conn *pgconn.PgConn, name string) error {
	expressions := make([]string, len(t.columns))
	for i, column := range t.columns {
		expressions[i] = column + "::text"
		if t.types[i] == "regproc" {
			expressions[i] = column + "::oid::text"
		}
	}
	result := conn.ExecParams(ctx, "SELECT "+strings.Join(expressions, ", ")+" FROM "+name, nil, nil, nil, nil).Read()
	if result.Err != nil {
		return result.Err
	}
	for _, cells := range result.Rows {
		row := make([]*string, len(cells))
		for i, cell := range cells {
			if cell != nil {
				text := string(cell)
				row[i] = &text
			}
		}
		t.rows = append(t.rows, row)
	}
	return nil
}
