package sqlmap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/copyio"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// copyFromAction is COPY blob … FROM STDIN.
type copyFromAction struct {
	columns  []int
	names    []string
	given    uint64
	options  copyio.Options
	conflict string // "", error, nothing or update
	filter   *query.Expression
}

func (p *planner) copyFrom(s *pg_query.CopyStmt) (*plan, error) {
	if s.Relation == nil {
		return nil, unsupported(-1, "this COPY is", copyHint)
	}
	if err := p.writeTarget(s.Relation); err != nil {
		return nil, err
	}
	r, err := copyOptions(s.Options, true)
	if err != nil {
		return nil, err
	}
	a := &copyFromAction{columns: copyColumns(), conflict: r.conflict}
	if len(s.Attlist) > 0 {
		a.columns = nil
		for _, n := range s.Attlist {
			c, err := copyColumn(n.GetString_().GetSval())
			if err != nil {
				return nil, err
			}
			a.columns = append(a.columns, c)
		}
		if err := checkColumns(a.columns, -1); err != nil {
			return nil, err
		}
	}
	for _, c := range a.columns {
		a.given |= 1 << c
		a.names = append(a.names, blobTable[c].name)
	}
	if err := r.force(a.names); err != nil {
		return nil, err
	}
	a.options = r.options
	if s.WhereClause != nil {
		if a.filter, err = p.compiler.Condition(s.WhereClause, "WHERE"); err != nil {
			return nil, err
		}
	}
	return &plan{action: a, writes: "COPY FROM"}, nil
}

// copyColumn finds a column that COPY FROM may name.
func copyColumn(name string) (int, error) {
	c, err := targetColumn(&pg_query.ResTarget{Name: name, Location: -1})
	if err == nil && !blobTable[c].isWritable {
		e := pgwire.Errorf(pgwire.CodeInvalidColumnReference, "column \"%s\" is a generated column", name)
		e.Detail = "Generated columns cannot be used in COPY."
		return c, e
	}
	return c, err
}

// copyRowBytes is how much a row may take on the wire: a payload as escaped octal digits is
// five times as long, which is more than anybody sends.
func (s *session) copyRowBytes() int { return int(2*s.handler.cache.Limits().ValueBytesMax) + 1<<20 }

func (a *copyFromAction) run(x *execution) (outcome, error) {
	overall, formats := wireFormats(&a.options, len(a.columns))
	in := x.reply.CopyIn(x.env.Ctx, overall, formats)
	reader := copyio.NewReader(a.options, a.names, in.Next, x.session.copyRowBytes())
	l, err := a.newLoader(x)
	if err != nil {
		return outcome{}, err
	}
	count, err := a.load(x, reader, l)
	if err == nil {
		err = l.finish()
	}
	if err != nil {
		l.abort()
		return outcome{}, err
	}
	return outcome{tag: "COPY", count: count + l.counted(), counted: true}, nil
}

// load reads all rows. It counts those that the loader does not count itself.
func (a *copyFromAction) load(x *execution, reader *copyio.Reader, l loader) (count int64, err error) {
	for n := 0; ; n++ {
		if n%256 == 255 {
			if err := x.env.Ctx.Err(); err != nil {
				return count, err
			}
		}
		fields, err := reader.Next()
		if err == io.EOF {
			return count, nil
		}
		if err != nil {
			return count, copyContext(err, reader, "", reader.Current())
		}
		values, err := a.parse(x, reader, fields)
		if err != nil {
			return count, err
		}
		x.env.Rows = [2]query.Row{values}
		if a.filter != nil {
			v, err := a.filter.Eval(&x.env)
			if err != nil {
				return count, copyContext(err, reader, "", nil)
			}
			if !v.IsTrue() {
				continue
			}
		}
		row, err := newInsertRow(x, values, a.given)
		if err == nil {
			err = x.session.checkDraft(&row.draft)
		}
		if err != nil {
			return count, copyContext(err, reader, "", reader.Current())
		}
		added, err := l.add(&row, reader.Line())
		if err != nil {
			return count, copyContext(err, reader, "", nil)
		}
		if added {
			count++
		}
	}
}

// parse makes values of the fields of a row, in memory of their own.
func (a *copyFromAction) parse(x *execution, reader *copyio.Reader, fields [][]byte) (query.Values, error) {
	values := make(query.Values, blobColumns)
	for i := range values {
		values[i] = types.Null()
	}
	for i, raw := range fields {
		if raw == nil {
			continue
		}
		c := a.columns[i]
		var v types.Value
		var err error
		if a.options.Format == copyio.Binary {
			v, err = types.ParseBinary(blobTable[c].oid, raw)
		} else {
			v, err = types.ParseText(blobTable[c].oid, raw, &x.env.Style)
		}
		if err != nil {
			return nil, copyContext(err, reader, a.names[i], raw)
		}
		values[c] = v.Clone()
	}
	return values, nil
}

// copyContext adds the CONTEXT that PostgreSQL gives: the line and, if it is about one, the
// column and its text, else the whole line.
func copyContext(err error, reader *copyio.Reader, column string, text []byte) error {
	err = wireError(err)
	var e *pgwire.Error
	isOfClient := column == "" && errors.As(err, &e) && (e.Code == pgwire.CodeQueryCanceled || e.Code == pgwire.CodeProtocolViolation)
	if !errors.As(err, &e) || e.Where != "" || e.Severity == pgwire.SeverityFatal || isOfClient {
		return err
	}
	where := fmt.Sprintf("COPY blob, line %d", max(reader.Line(), 1))
	if column != "" {
		where += ", column " + column
	}
	if text != nil && reader.Current() != nil && utf8.Valid(text) {
		where += ": \"" + clipped(text) + "\""
	}
	out := *e
	out.Where = where
	return &out
}

// clipped is the beginning of a text, as much as PostgreSQL shows.
func clipped(text []byte) string {
	const shownMax = 100
	if len(text) <= shownMax {
		return string(text)
	}
	end := shownMax
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return string(text[:end]) + "..."
}

// loader takes in the rows of a COPY.
type loader interface {
	// add reports whether the row counts, if that is known.
	add(row *insertRow, line int) (counts bool, err error)
	// finish makes all rows visible. counted is how many counted that add did not know of.
	finish() error
	counted() int64
	abort()
}

// newLoader chooses how rows are stored: in an open transaction they become a part of it.
func (a *copyFromAction) newLoader(x *execution) (loader, error) {
	if !x.isAlone {
		return &pendingLoader{a: a, w: &writer{x: x}}, nil
	}
	return newBlockLoader(a, x), nil
}

// pendingLoader makes rows pending in a transaction.
type pendingLoader struct {
	a *copyFromAction
	w *writer
}

func (l *pendingLoader) add(row *insertRow, _ int) (bool, error) {
	result, err := l.w.run(l.a.change(row))
	return result.Verdict == cache.Write, err
}

func (l *pendingLoader) finish() error  { return nil }
func (l *pendingLoader) counted() int64 { return 0 }
func (l *pendingLoader) abort()         {}

// change is the write of one row.
func (a *copyFromAction) change(row *insertRow) change {
	r, size := *row, int64(0)
	for i := range r.values {
		if i != colValueText { // the same bytes as value
			size += r.values[i].Size()
		}
	}
	return change{
		key: r.key, bytes: size, value: r.draft.Value,
		apply: func(_ *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error) {
			return a.apply(&r, old != nil, d)
		},
	}
}

// apply is what COPY does to a key.
func (a *copyFromAction) apply(r *insertRow, exists bool, d *cache.Draft) (cache.Verdict, error) {
	switch {
	case !exists:
		*d = r.draft
		return cache.Write, nil
	case a.conflict == "nothing":
		return cache.Leave, nil
	case a.conflict != "update":
		return cache.Leave, errDuplicate(r.key)
	}
	out := *d
	out.HasVersion = false // the entry keeps its version unless the row has one
	for _, c := range a.columns {
		if c == colNS || c == colKey {
			continue
		}
		if err := setColumn(&out, c, r.values[c], a.given); err != nil {
			return cache.Leave, err
		}
	}
	*d = out
	return cache.Write, nil
}

// blockLoader keeps the rows and commits them as one block. When they become too many, and
// there is a durable tier, it stages them there.
type blockLoader struct {
	staging *cache.Load // nil: not yet
	a       *copyFromAction
	x       *execution
	ctx     context.Context
	rows    []loadedRow
	byKey   map[string]int
	bytes   int64
	count   int64
}

// loadedRow is a row and where it came from.
type loadedRow struct {
	insertRow
	line int
}

func newBlockLoader(a *copyFromAction, x *execution) *blockLoader {
	return &blockLoader{a: a, x: x, ctx: x.env.Ctx, byKey: map[string]int{}}
}

const loadedRowBytes = 700 // beside the bytes of its values

func (l *blockLoader) add(row *insertRow, line int) (bool, error) {
	name := string(appendKey(nil, row.key))
	if at, twice := l.byKey[name]; twice {
		switch l.a.conflict {
		case "nothing":
			return false, nil
		case "update":
			l.rows[at] = loadedRow{*row, line}
			l.count++
			return false, nil
		}
		return false, errDuplicate(row.key)
	}
	size := int64(loadedRowBytes)
	for i := range row.values {
		if i != colValueText {
			size += row.values[i].Size()
		}
	}
	most := l.x.session.handler.limits.TransactionBytesMax
	switch c := l.x.session.handler.cache; {
	case l.staging != nil:
		most = min(most, stagedBytesMax)
	case c.HasTier():
		most = min(most, c.BlockBytesMax())
	}
	if l.bytes+size > most && len(l.rows) > 0 {
		if err := l.stage(); err != nil {
			return false, err
		}
	}
	l.bytes += size
	l.byKey[name] = len(l.rows)
	l.rows = append(l.rows, loadedRow{*row, line})
	return false, nil
}

// Bounds of what is staged at once.
const (
	stagedBytesMax = 1 << 20
	stagedRowsMax  = 1000
)

// stage moves the rows to the durable tier, unseen.
func (l *blockLoader) stage() error {
	c := l.x.session.handler.cache
	if l.staging == nil {
		var err error
		if l.staging, err = c.NewLoad(); errors.Is(err, cache.ErrNoTier) {
			e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "COPY is too large")
			e.Detail = formatLimit(l.bytes+1, l.x.session.handler.limits.TransactionBytesMax, "bytes", "transaction_bytes_max")
			e.Hint = "Load the data in several COPYs, or use a disk tier (data_dir), which has no such limit."
			return e
		} else if err != nil {
			return err
		}
	}
	updates := l.updates()
	for len(updates) > 0 {
		n, bytes := 0, int64(0)
		for n < len(updates) && n < stagedRowsMax && (n == 0 || bytes < stagedBytesMax) {
			bytes += l.rows[len(l.rows)-len(updates)+n].values[colValue].Size()
			n++
		}
		if err := l.staging.Add(l.ctx, updates[:n]); err != nil {
			return err
		}
		l.countWritten(updates[:n])
		updates = updates[n:]
	}
	clear(l.rows)
	clear(l.byKey)
	l.rows, l.bytes = l.rows[:0], 0
	return nil
}

func (l *blockLoader) countWritten(updates []cache.KeyUpdate) {
	for i := range updates {
		if updates[i].Result.Verdict == cache.Write {
			l.count++
		}
	}
}

func (l *blockLoader) finish() error {
	if l.staging != nil {
		if err := l.stage(); err != nil {
			return err
		}
		return l.staging.Commit(l.ctx)
	}
	b := cache.Block{Updates: l.updates()}
	if err := l.x.session.handler.cache.Commit(l.ctx, &b); err != nil {
		return err
	}
	l.countWritten(b.Updates)
	return nil
}

// updates are the rows as parts of a block.
func (l *blockLoader) updates() []cache.KeyUpdate {
	updates := make([]cache.KeyUpdate, len(l.rows))
	for i := range l.rows {
		row, u := &l.rows[i], &updates[i]
		u.Key = row.key
		u.Update = func(old *cache.Hit, d *cache.Draft) (cache.Verdict, error) {
			exists := old != nil
			if u.IsStaged { // by an earlier row of this COPY: a later one replaces it
				exists = l.a.conflict != "update"
			}
			verdict, err := l.a.apply(&row.insertRow, exists, d)
			var e *pgwire.Error
			if errors.As(err, &e) {
				e.Where = fmt.Sprintf("COPY blob, line %d", row.line)
			}
			return verdict, err
		}
	}
	return updates
}

func (l *blockLoader) counted() int64 { return l.count }

func (l *blockLoader) abort() {
	if l.staging != nil {
		l.staging.Abort()
	}
}
