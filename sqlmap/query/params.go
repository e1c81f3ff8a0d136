package query

import (
	"errors"
	"fmt"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// paramsMax is how many parameters a statement may have, as in the protocol.
const paramsMax = 65535

// params are the types of a statement's parameters, inferred from where they stand.
type params struct {
	types []types.OID // 0: not known yet
	used  []bool
	none  bool // simple protocol: there are none
}

// newParams takes the types that the client declared; 0 and unknown are inferred.
func newParams(declared []uint32, none bool) *params {
	p := &params{types: make([]types.OID, len(declared)), used: make([]bool, len(declared)), none: none}
	for i, oid := range declared {
		if types.OID(oid) != types.Unknown {
			p.types[i] = types.OID(oid)
		}
	}
	return p
}

func (p *params) reference(n int, at int32) (expr, error) {
	if n < 1 || n > paramsMax || p.none {
		return nil, errorAt(at, pgwire.CodeUndefinedParameter, "there is no parameter $%d", n)
	}
	p.learn(n, 0)
	oid := p.types[n-1]
	if oid == 0 {
		oid = types.Unknown
	}
	return &paramExpr{leaf: leaf{typing{oid: oid, typmod: -1, at: at}}, number: n}, nil
}

// learn gives parameter n its type, unless it has one.
func (p *params) learn(n int, oid types.OID) {
	for len(p.types) < n {
		p.types, p.used = append(p.types, 0), append(p.used, false)
	}
	p.used[n-1] = true
	if p.types[n-1] == 0 {
		p.types[n-1] = oid
	}
}

// resolve gives a parameter that is still unknown the type of its context.
func (p *params) resolve(x *paramExpr, oid types.OID, a *analyzer) (expr, error) {
	switch known := p.types[x.number-1]; known {
	case 0:
		if _, err := types.ParseText(a.base(oid), nil, nil); errors.Is(err, types.ErrNoInput) {
			return nil, a.typeUnsupported(oid, x.at)
		}
		p.types[x.number-1] = oid
	case oid:
	default:
		e := errorAt(x.at, pgwire.CodeAmbiguousParameter, "inconsistent types deduced for parameter $%d", x.number)
		e.Detail = fmt.Sprintf("%s versus %s", a.typeName(known), a.typeName(oid))
		return nil, e
	}
	return &paramExpr{leaf: leaf{typing{oid: oid, typmod: -1, at: x.at}}, number: x.number}, nil
}

// oids are the types of all parameters.
func (p *params) oids() ([]uint32, error) {
	out := make([]uint32, len(p.types))
	for i, t := range p.types {
		if t == 0 && !p.used[i] {
			return nil, pgwire.Errorf(pgwire.CodeIndeterminateDatatype, "could not determine data type of parameter $%d", i+1)
		}
		if t == 0 {
			t = types.Text
		}
		out[i] = uint32(t)
	}
	return out, nil
}

// errorAt is an error at a byte offset of the statement (Q5).
func errorAt(at int32, code pgwire.Code, format string, args ...any) *pgwire.Error {
	e := pgwire.Errorf(code, format, args...)
	if at >= 0 {
		e.Position = int(at) + 1
	}
	return e
}

// unsupported is the error for a construct that is not there (Q1).
func unsupported(at int32, what string) *pgwire.Error {
	return errorAt(at, pgwire.CodeFeatureNotSupported, "%s not supported", what)
}

// AtOffset gives an error a position, unless it has one.
func AtOffset(err error, at int32) error {
	if e, ok := err.(*pgwire.Error); ok && e.Position == 0 && at >= 0 {
		e.Position = int(at) + 1
	}
	return err
}
