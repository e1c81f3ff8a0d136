package sqlmap

import (
	"context"
	"slices"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// blobSource reads entries by their keys, or scans them.
type blobSource struct {
	where     *blobWhere
	needValue bool
	isEmpty   bool // no row can come, whatever is in the cache
	// Of a scan:
	isDescending, isUnordered bool
}

// planBlobSelect completes the plan of a SELECT on blob.
func (p *planner) planBlobSelect(a *selectAction, b *blobSource) {
	b.needValue = p.compiler.Used[0]&valueColumns != 0
	if b.isEmpty = isNever(a); b.isEmpty || b.where.namesKeys() {
		return
	}
	if isDescending, ok := scanOrder(a, b.where); ok && len(a.sort) > 0 {
		a.outputs, a.sort, b.isDescending = a.outputs[:a.width], nil, isDescending
	}
	b.isUnordered = a.countColumns > 0 || len(a.sort) > 0
}

// isNever recognises LIMIT 0 and WHERE false, with which tools ask for columns only.
func isNever(a *selectAction) bool {
	if a.limit != nil {
		if v, ok := a.limit.Constant(); ok && !v.IsNull && v.Int == 0 {
			return true
		}
	}
	if a.filter == nil || a.filter.UsesRow() || a.filter.IsVolatile() {
		return false
	}
	v, ok := a.filter.Constant()
	return ok && !v.IsTrue()
}

// plainGet recognises the get that has its own portal.
func plainGet(a *selectAction, b *blobSource) *getPlan {
	w := b.where
	if a.filter != nil || a.countColumns > 0 || a.sort != nil || a.offset != nil || w.ns == nil || w.key == nil || b.isEmpty {
		return nil
	}
	if a.limit != nil {
		if v, ok := a.limit.Constant(); !ok || v.IsNull || v.Int < 1 {
			return nil
		}
	}
	get := &getPlan{needValue: b.needValue}
	var ok1, ok2 bool
	get.ns, ok1 = keyArgumentOf(w.ns)
	get.key, ok2 = keyArgumentOf(w.key)
	if !ok1 || !ok2 {
		return nil
	}
	for i := range a.outputs {
		c := a.outputs[i].Expr.Column()
		if c < 0 {
			return nil
		}
		get.columns = append(get.columns, c)
	}
	return get
}

func (b *blobSource) open(x *execution) (rowSource, error) {
	c := &blobCursor{source: b}
	if b.isEmpty {
		return c, nil
	}
	if !b.where.namesKeys() {
		return b.openScan(x)
	}
	var err error
	c.keys, err = b.where.evalKeys(x)
	return c, err
}

func (b *blobSource) openScan(x *execution) (rowSource, error) {
	r, isEmpty, err := b.where.scanRange(x)
	if err != nil || isEmpty {
		return &blobCursor{source: b}, err
	}
	r.NeedValue, r.Descending, r.Unordered, r.Limit = b.needValue, b.isDescending, b.isUnordered, x.rowsWanted
	return x.session.openScan(x, r)
}

// blobCursor reads one key after the other.
type blobCursor struct {
	source *blobSource
	keys   keySet
	at     int
	hit    cache.Hit
	row    entryRow
}

func (c *blobCursor) next(x *execution) (bool, error) {
	for c.at < len(c.keys.names) {
		c.hit.Release()
		key := c.keys.key(c.at)
		c.at++
		row, err := x.session.read(x.env.Ctx, key, c.source.needValue, &c.hit, &c.row)
		if err != nil {
			return false, err
		}
		x.trace.read(row, c.source.needValue)
		if row != nil {
			x.env.Rows[0] = row
			return true, nil
		}
	}
	return false, nil
}

func (c *blobCursor) close() { c.hit.Release() }

// read finds a key as the session sees it; nil if there is no live entry. hit and row are
// memory for the result. Only a read that needs the value is an access.
func (s *session) read(ctx context.Context, key cache.Key, needValue bool, hit *cache.Hit, row *entryRow) (query.Row, error) {
	if pending := s.tx.find(key); pending != nil {
		if pending.isDeleted {
			return nil, nil
		}
		return &pending.row, nil
	}
	read := s.handler.cache.Peek
	if needValue {
		read = s.handler.cache.Get
	}
	ok, err := read(ctx, key, hit)
	if err != nil || !ok {
		return nil, err
	}
	if s.tx.hides(key, hit.Attrs()) {
		hit.Release()
		return nil, nil
	}
	*row = entryRow{key: key, hit: hit}
	return row, nil
}

// functionSource is SELECT … FROM f(…).
type functionSource struct {
	call     *query.Expression
	isRecord bool
}

func (p *planner) fromFunction(a *selectAction, r *pg_query.RangeFunction) error {
	if r.Lateral || r.Ordinality || r.IsRowsfrom || len(r.Coldeflist) > 0 || len(r.Functions) != 1 {
		return unsupported(-1, "this form of a function in FROM is", "Write SELECT * FROM f(…).")
	}
	items := r.Functions[0].GetList().GetItems()
	var k *pg_query.FuncCall
	if len(items) > 0 {
		k = items[0].GetFuncCall()
	}
	if k == nil {
		return unsupported(-1, "this form of a function in FROM is", "Write SELECT * FROM f(…).")
	}
	p.compiler.Place = query.InCall
	x, err := p.compiler.Compile(items[0])
	if err != nil {
		return err
	}
	f := x.Function()
	if f == nil {
		return unsupported(k.Location, "a cast in FROM is", selectHint)
	}
	relation := query.Relation{Name: f.Name, Columns: slices.Clone(outColumns(f))}
	if r.Alias != nil {
		relation.Name = r.Alias.Aliasname
		names := query.Names(r.Alias.Colnames)
		if len(names) > len(relation.Columns) {
			return query.AtOffset(pgwire.Errorf(pgwire.CodeInvalidColumnReference, "table \"%s\" has %d columns available but %d columns specified",
				relation.Name, len(relation.Columns), len(names)), k.Location)
		}
		if len(names) == 0 && relation.Columns[0].Name == f.Name {
			names = []string{relation.Name}
		}
		for i, name := range names {
			relation.Columns[i].Name = name
		}
	}
	p.compiler.SetRelations(relation)
	a.source = &functionSource{x, f.Returns == types.Record}
	return nil
}

func (s *functionSource) open(x *execution) (rowSource, error) {
	v, err := s.call.Eval(&x.env)
	if err != nil {
		return nil, err
	}
	x.env.Rows[0] = query.Values{v}
	if s.isRecord {
		x.env.Rows[0] = query.Values(v.Elems)
	}
	return &onceSource{}, nil
}
