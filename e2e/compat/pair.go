package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"pgcache/e2e/realpostgres"
)

// pair are the two servers. Without PostgreSQL every statement counts as accepted.
type pair struct {
	process  *exec.Cmd
	pgcache  *pgconn.PgConn
	postgres *realpostgres.Server // nil: not installed
	real     *pgconn.PgConn
	// names are the names of objects by their OIDs, in either server.
	ownNames, realNames map[string]string
}

// startPair starts pgcache and PostgreSQL: that in the folder bin, or the first installed.
func startPair(ctx context.Context, binary, bin string) (*pair, error) {
	p := &pair{}
	if err := p.startPgcache(ctx, binary); err != nil {
		p.stop()
		return nil, err
	}
	var err error
	start := realpostgres.Start
	if bin != "" {
		start = func() (*realpostgres.Server, error) { return realpostgres.StartFrom(bin) }
	}
	if p.postgres, err = start(); err != nil && bin != "" {
		return p, err
	} else if err != nil {
		fmt.Println("not compared with PostgreSQL:", err)
		return p, nil
	}
	if err := p.mirror(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *pair) startPgcache(ctx context.Context, binary string) error {
	p.process = exec.Command(binary, "serve", "--log-format=json", "--listen", "127.0.0.1:0")
	log, err := p.process.StderrPipe()
	if err != nil {
		return err
	}
	if err := p.process.Start(); err != nil {
		return err
	}
	address := ""
	for lines := bufio.NewScanner(log); address == "" && lines.Scan(); {
		var entry struct{ Msg, Address string }
		if json.Unmarshal(lines.Bytes(), &entry) == nil && entry.Msg == "ready" {
			address = entry.Address
		}
	}
	if address == "" {
		return errors.New("pgcache ended before it was ready")
	}
	go func() { _, _ = io.Copy(io.Discard, log) }()
	if p.pgcache, err = connect(ctx, address, owner, database); err != nil {
		return err
	}
	return p.pgcache.Exec(ctx, sample).Close()
}

// sample is what the cache holds while statements are compared.
const sample = `
	INSERT INTO blob (ns, key, value, tags, metadata) VALUES ('web', 'page:1', 'one', '{page}', '{"content-type": "text/html"}'), ('web', 'page:2', 'two', '{page}', NULL);
	SELECT cache_put('web', 'home', '\x01', tags => '{page,home}');
	SELECT cache_put('web', 'about', '\x0203', dependencies => '{table:users}');
	SELECT cache_put('api', 'users', '{}');
	SELECT value FROM blob WHERE ns = 'web' AND key = 'home';
	SELECT value FROM blob WHERE ns = 'web' AND key = 'nothing'`

func (p *pair) stop() {
	for _, c := range []*pgconn.PgConn{p.pgcache, p.real} {
		if c != nil {
			_ = c.Close(context.Background())
		}
	}
	if p.process != nil && p.process.Process != nil {
		_ = p.process.Process.Signal(syscall.SIGTERM)
		_ = p.process.Wait()
	}
	if p.postgres != nil {
		p.postgres.Stop()
	}
}

// comparison is what became of one statement.
type comparison struct {
	accepted                          bool
	failure, difference               string
	sameRows, sameColumns, sameValues bool
	took                              time.Duration
}

// answer is what a server answers to a statement.
type answer struct {
	params []uint32
	fields []pgconn.FieldDescription
	rows   []string // sorted
	err    error
}

func (p *pair) compare(ctx context.Context, sql string) (comparison, error) {
	var real answer
	c := comparison{accepted: true}
	if p.real != nil {
		if real = ask(ctx, p.real, p.realNames, sql); real.err != nil {
			return comparison{}, p.real.Exec(ctx, "ROLLBACK").Close()
		}
	}
	began := time.Now()
	own := ask(ctx, p.pgcache, p.ownNames, sql)
	c.took = time.Since(began)
	if own.err != nil {
		c.failure = own.err.Error()
		if p.pgcache.IsClosed() {
			return c, fmt.Errorf("pgcache closed the connection at %s: %w", sql, own.err)
		}
		return c, nil
	}
	if p.real == nil {
		c.sameRows, c.sameColumns, c.sameValues = true, true, true
		return c, nil
	}
	c.sameRows = len(own.rows) == len(real.rows)
	c.sameValues = slices.Equal(own.rows, real.rows)
	c.sameColumns = slices.EqualFunc(own.fields, real.fields, sameField)
	c.difference = difference(&own, &real)
	return c, nil
}

// sameField compares names and types; those of relations and domains have no fixed OIDs.
func sameField(a, b pgconn.FieldDescription) bool {
	const firstFreeOID = 12000
	return a.Name == b.Name && (a.DataTypeOID == b.DataTypeOID || a.DataTypeOID >= firstFreeOID && b.DataTypeOID >= firstFreeOID)
}

func difference(own, real *answer) string {
	for i := range min(len(own.fields), len(real.fields)) {
		if !sameField(own.fields[i], real.fields[i]) {
			return fmt.Sprintf("column %s %d, PostgreSQL has %s %d", own.fields[i].Name, own.fields[i].DataTypeOID, real.fields[i].Name, real.fields[i].DataTypeOID)
		}
	}
	if len(own.fields) != len(real.fields) {
		return fmt.Sprintf("%d columns, PostgreSQL has %d", len(own.fields), len(real.fields))
	}
	if len(own.rows) != len(real.rows) {
		return fmt.Sprintf("%d rows, PostgreSQL has %d", len(own.rows), len(real.rows))
	}
	for i := range own.rows {
		if own.rows[i] != real.rows[i] {
			return "row " + own.rows[i] + ", PostgreSQL has " + real.rows[i]
		}
	}
	return ""
}

// ask runs a statement. Numbers of objects that differ from one cluster to the next are
// replaced by names.
func ask(ctx context.Context, conn *pgconn.PgConn, names map[string]string, sql string) answer {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	described, err := conn.Prepare(ctx, "", sql, nil)
	if err != nil {
		return answer{err: err}
	}
	toast := regexp.MustCompile(`pg_toast_\d+`)
	params := make([][]byte, len(described.ParamOIDs))
	for i, oid := range described.ParamOIDs {
		params[i] = []byte(parameter(oid))
	}
	result := conn.ExecPrepared(ctx, "", params, nil, nil).Read()
	out := answer{params: described.ParamOIDs, fields: described.Fields, err: result.Err}
	for _, row := range result.Rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			if cells[i] = string(cell); names[cells[i]] != "" {
				cells[i] = names[cells[i]]
			}
			cells[i] = toast.ReplaceAllString(cells[i], "pg_toast_N")
			if cell == nil {
				cells[i] = "NULL"
			}
		}
		out.rows = append(out.rows, strings.Join(cells, " | "))
	}
	slices.Sort(out.rows)
	return out
}

// parameter is a value of a type.
func parameter(oid uint32) string {
	switch oid {
	case 16:
		return "t"
	case 20, 21, 23, 700, 701, 1700:
		return "1"
	case 26, 24, 2205, 2206:
		return "1259"
	case 1082, 1114, 1184:
		return "2026-01-01"
	case 1186:
		return "1 hour"
	case 1000, 1005, 1007, 1009, 1015, 1016, 1028:
		return "{1}"
	}
	return "public"
}

func (c *comparison) print(client, sql string) {
	const shown = 400
	what := c.difference
	if c.failure != "" {
		what = "fails: " + c.failure
	}
	if !c.accepted || what == "" {
		return
	}
	sql = strings.Join(strings.Fields(sql), " ")
	if len(sql) > shown {
		sql = sql[:shown] + "…"
	}
	if len(what) > 2*shown {
		what = what[:2*shown] + "…"
	}
	fmt.Fprintf(os.Stdout, "  %s: %s\n    %s\n", client, what, sql)
}
