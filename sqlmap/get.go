package sqlmap

import (
	"context"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// getPlan is SELECT columns FROM blob WHERE ns = … AND key = …, with constants or text
// parameters and nothing else.
type getPlan struct {
	ns, key   keyArgument
	columns   []int
	needValue bool
}

// keyArgument is a constant, or a parameter whose bytes are the key.
type keyArgument struct {
	param    int // 1-based; 0: constant
	constant []byte
	isNull   bool
}

// keyArgumentOf tells whether an expression of type text is one.
func keyArgumentOf(x *query.Expression) (keyArgument, bool) {
	if v, ok := x.Constant(); ok {
		return keyArgument{constant: v.Bytes, isNull: v.IsNull}, true
	}
	n, oid := x.Param()
	return keyArgument{param: n}, n > 0 && x.Type == types.Text && (oid == types.Text || oid == types.VarChar)
}

// bytes is the key; nil for NULL.
func (a *keyArgument) bytes(params [][]byte) []byte {
	if a.param > 0 {
		return params[a.param-1]
	}
	return a.constant
}

// getPortal runs a get. It is used again for the next one of the session (S6).
type getPortal struct {
	session *session
	plan    *plan
	args    *pgwire.BindArgs
	hit     cache.Hit
	row     entryRow
	style   types.Style
	done    bool
	found   bool
	fetched *execution // takes its place when FETCH reads from the portal
}

func (s *statement) bindGet(args *pgwire.BindArgs, recycle pgwire.Portal) (pgwire.Portal, error) {
	for i, raw := range args.Params {
		if args.ParamFormats[i] == pgwire.Binary { // texts have been checked by pgwire
			if err := types.CheckUTF8(raw); err != nil {
				return nil, paramError(err, i)
			}
		}
	}
	p, ok := recycle.(*getPortal)
	if !ok {
		p = &getPortal{}
	}
	p.session, p.plan, p.args, p.done, p.found = s.session, s.plan, args, false, false
	return p, nil
}

// Execute sends the row, if there is one.
func (p *getPortal) Execute(ctx context.Context, r *pgwire.Reply, isAlone bool) (pgwire.Completion, error) {
	slow := &p.session.handler.slow
	if !slow.isOn() {
		return p.executeTimed(ctx, r)
	}
	started := time.Now()
	done, err := p.executeTimed(ctx, r)
	slow.note(p.session, p.plan, started, done, err)
	return done, err
}

func (p *getPortal) executeTimed(ctx context.Context, r *pgwire.Reply) (pgwire.Completion, error) {
	s := p.session
	if timeout, cause := s.timeLimit(); timeout > 0 {
		limited, cancel := context.WithTimeoutCause(ctx, timeout, cause)
		defer cancel()
		ctx = limited
	}
	if p.done {
		return pgwire.Completion{Tag: "SELECT", HasRows: true}, nil
	}
	if p.fetched != nil {
		return p.fetched.execute(ctx, r, false)
	}
	p.done = true
	get := p.plan.get
	key := cache.Key{Namespace: get.ns.bytes(p.args.Params), Name: get.key.bytes(p.args.Params)}
	if key.Namespace == nil || key.Name == nil {
		return pgwire.Completion{Tag: "SELECT", HasRows: true}, nil
	}
	if err := s.grants.checkNamespace(key.Namespace); err != nil {
		return pgwire.Completion{}, err
	}
	if s.tx.isDirty() {
		return p.executeDirty(ctx, r, key)
	}
	var err error
	if get.needValue {
		p.found, err = s.handler.cache.Get(ctx, key, &p.hit)
	} else {
		p.found, err = s.handler.cache.Peek(ctx, key, &p.hit)
	}
	if err != nil {
		return pgwire.Completion{}, s.statementError(ctx, err)
	}
	if !p.found {
		return pgwire.Completion{Tag: "SELECT", HasRows: true}, nil
	}
	p.row = entryRow{key: key, hit: &p.hit}
	p.style = s.settings.style(s.now())
	return p.send(r, &p.row)
}

// IsQuick says so: it waits for nothing but a disk.
func (p *getPortal) IsQuick() bool { return true }

// executeDirty is Execute in a transaction that has something pending.
func (p *getPortal) executeDirty(ctx context.Context, r *pgwire.Reply, key cache.Key) (pgwire.Completion, error) {
	s := p.session
	row, err := s.read(ctx, key, p.plan.get.needValue, &p.hit, &p.row)
	if err != nil {
		return pgwire.Completion{}, s.statementError(ctx, err)
	}
	if row == nil {
		return pgwire.Completion{Tag: "SELECT", HasRows: true}, nil
	}
	p.style = s.settings.style(s.now())
	return p.send(r, row)
}

func (p *getPortal) send(r *pgwire.Reply, row query.Row) (pgwire.Completion, error) {
	columns := p.plan.get.columns
	r.StartRow(len(columns))
	for i, c := range columns {
		v, err := row.Column(c)
		if err != nil {
			return pgwire.Completion{}, err
		}
		appendField(r, types.OID(p.plan.columns[i].TypeOID), v, p.args.ResultFormats[i], &p.style)
	}
	r.EndRow()
	p.hit.Release()
	return pgwire.Completion{Tag: "SELECT", Rows: 1, HasRows: true}, nil
}

// Close releases the entry.
func (p *getPortal) Close() {
	p.hit.Release()
	p.args = nil
	p.row = entryRow{}
	if p.fetched != nil {
		p.fetched.Close()
		p.fetched = nil
	}
}

var _ pgwire.Portal = (*getPortal)(nil)
