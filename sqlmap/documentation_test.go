package sqlmap

import (
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// TestDocumentation runs the examples of docs/sql.md in order, in one session on a fixed
// clock: each block of sql is followed by what psql would print. -rewrite writes that anew.
func TestDocumentation(t *testing.T) {
	const name = "../docs/sql.md"
	content, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, nil)
	var out strings.Builder
	rest, examples := string(content), 0
	for {
		before, after, found := strings.Cut(rest, "\n```sql\n")
		out.WriteString(before)
		if !found {
			break
		}
		block, after, _ := strings.Cut(after, "```\n")
		out.WriteString("\n```sql\n" + block + "```\n")
		want := ""
		if answer, ok := strings.CutPrefix(after, "```\n"); ok {
			want, after, _ = strings.Cut(answer, "```\n")
		}
		got := w.psql(t, block)
		if examples++; got != want {
			if f := flag.Lookup("rewrite"); f == nil || f.Value.String() != "true" {
				t.Errorf("%s:\n%s\n--- the document says\n%s\n--- it answers\n%s", name, block, want, got)
			}
		}
		out.WriteString("```\n" + got + "```\n")
		rest = after
	}
	if examples < 30 {
		t.Errorf("only %d examples found", examples)
	}
	if f := flag.Lookup("rewrite"); f != nil && f.Value.String() == "true" {
		if err := os.WriteFile(name, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// psql runs the statements of a block, which end with ; at the end of a line, and prints
// what psql would.
func (w *world) psql(t *testing.T, block string) string {
	var out strings.Builder
	for _, sql := range strings.SplitAfter(block, ";\n") {
		if strings.TrimSpace(sql) == "" {
			continue
		}
		s := w.session("main")
		statements, err := s.PrepareSimple(t.Context(), sql)
		if err != nil {
			printError(&out, s, err)
		}
		for _, statement := range statements {
			w.psqlStatement(t, &out, s, statement, len(statements) == 1)
		}
		if err := s.EndCycle(t.Context()); err != nil {
			printError(&out, s, err)
		}
		if s.TxStatus() == pgwire.TxIdle {
			s.info.Names.EndTransaction()
		}
	}
	return out.String()
}

func printError(out *strings.Builder, s *session, err error) {
	s.Fail()
	e, ok := err.(*pgwire.Error)
	if !ok {
		fmt.Fprintf(out, "not for clients: %v\n", err)
		return
	}
	fmt.Fprintf(out, "ERROR:  %s: %s\n", e.Code, e.Message) // as with \set VERBOSITY verbose
	if e.Detail != "" {
		fmt.Fprintf(out, "DETAIL:  %s\n", e.Detail)
	}
	if e.Hint != "" {
		fmt.Fprintf(out, "HINT:  %s\n", e.Hint)
	}
}

func (w *world) psqlStatement(t *testing.T, out *strings.Builder, s *session, statement pgwire.Statement, isAlone bool) {
	columns := statement.Columns()
	portal, err := statement.Bind(t.Context(), &pgwire.BindArgs{ResultFormats: make([]pgwire.Format, len(columns))}, nil)
	if err != nil {
		printError(out, s, err)
		return
	}
	defer portal.Close()
	var sent strings.Builder
	reply := pgwire.NewReply(&sent, 0)
	done, err := portal.Execute(t.Context(), reply, isAlone && s.TxStatus() == pgwire.TxIdle)
	reply.Flush()
	if err != nil {
		printError(out, s, err)
		return
	}
	if columns != nil {
		printTable(out, columns, rowsOf(sent.String()))
		if !strings.HasPrefix(done.Tag, "INSERT") && done.Tag != "UPDATE" && done.Tag != "DELETE" {
			return
		}
	}
	if done.HasRows {
		fmt.Fprintf(out, "%s %d\n", done.Tag, done.Rows)
		return
	}
	fmt.Fprintf(out, "%s\n", done.Tag)
}

// rowsOf are the fields of the DataRow messages; NULL is empty, as in psql.
func rowsOf(sent string) [][]string {
	var rows [][]string
	for len(sent) >= 5 {
		kind, size := sent[0], int(binary.BigEndian.Uint32([]byte(sent[1:5])))
		body := sent[5 : size+1]
		sent = sent[size+1:]
		if kind != 'D' {
			continue
		}
		row := make([]string, binary.BigEndian.Uint16([]byte(body)))
		body = body[2:]
		for i := range row {
			length := int32(binary.BigEndian.Uint32([]byte(body)))
			body = body[4:]
			if length >= 0 {
				row[i], body = body[:length], body[length:]
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// printTable is psql's aligned format.
func printTable(out *strings.Builder, columns []pgwire.Column, rows [][]string) {
	widths := make([]int, len(columns))
	for i, c := range columns {
		widths[i] = utf8.RuneCountInString(c.Name)
		for _, row := range rows {
			for _, line := range strings.Split(row[i], "\n") {
				widths[i] = max(widths[i], utf8.RuneCountInString(line))
			}
		}
	}
	line := func(cell func(i int) string, separator string) {
		cells := make([]string, len(columns))
		for i := range cells {
			cells[i] = cell(i)
		}
		out.WriteString(strings.TrimRight(strings.Join(cells, separator), " ") + "\n")
	}
	pad := func(text string, width int, isNumber bool) string {
		space := strings.Repeat(" ", width-utf8.RuneCountInString(text))
		if isNumber {
			return space + text
		}
		return text + space
	}
	line(func(i int) string {
		left := (widths[i] - utf8.RuneCountInString(columns[i].Name)) / 2
		return " " + pad(strings.Repeat(" ", left)+columns[i].Name, widths[i], false) + " "
	}, "|")
	line(func(i int) string { return strings.Repeat("-", widths[i]+2) }, "+")
	for _, row := range rows {
		lines := make([][]string, len(columns))
		height := 1
		for i := range columns {
			lines[i] = strings.Split(row[i], "\n")
			height = max(height, len(lines[i]))
		}
		for n := range height {
			line(func(i int) string {
				text, more := "", " "
				if n < len(lines[i]) {
					text = lines[i][n]
				}
				if n+1 < len(lines[i]) {
					more = "+"
				}
				oid := types.OID(columns[i].TypeOID)
				return " " + pad(text, widths[i], oid == types.Int2 || oid == types.Int4 || oid == types.Int8 || oid == types.Float8 || oid == types.Numeric) + more
			}, "|")
		}
	}
	if len(rows) == 1 {
		out.WriteString("(1 row)\n")
		return
	}
	fmt.Fprintf(out, "(%d rows)\n", len(rows))
}
