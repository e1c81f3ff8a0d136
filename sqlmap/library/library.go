package library

import (
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

type (
	implementation = schema.Implementation
	value          = types.Value
)

// resultBytesMax is the longest text that a function makes.
const resultBytesMax = 16 << 20

// All lists the implementations.
func All() []schema.Implementation {
	return slices.Concat(
		comparisons(), larger(), integers(), floats(), numerics(), mathematics(), casts(), bitOperators(),
		texts(), paddings(), searches(), encodings(), quotings(), matches(), regularExpressions(),
		dates(), dateParts(), clocks(), timeFormats(), makers(), series(),
		arrays(), ranges(), networks(), networkMasks(), hashes(), samples(), documents(), documentOperators(), documentSets(), documentConstructs(), documentRecords(), records(),
		aggregates(), statistics(), orderedSets(), collections(),
		descriptions(), definitions(), functionDefinitions(), visibility(), privileges(), privilegeLists(), sizes(), server(), informationSchema(),
		counters(), walPlaces(), serverFiles(), identities(), validation(), sequences(), absent(),
		bitStrings(), byteStrings(), addressArithmetic(), supportFunctions(), zonedClocks(), accessLists(), degrees(), wholes(), unicodes(), arraySamples(),
	)
}

// call makes a function that looks at its call.
func call(signature string, f func(c *schema.Call, a []value) (value, error)) implementation {
	return implementation{Signature: signature, Call: f}
}

// pure makes a function of its arguments alone.
func pure(signature string, f func(a []value) (value, error)) implementation {
	return implementation{Signature: signature, Call: func(_ *schema.Call, a []value) (value, error) { return f(a) }}
}

// constant makes a function that always answers the same.
func constant(signature string, v value) implementation {
	return implementation{Signature: signature, Call: func(*schema.Call, []value) (value, error) { return v, nil }}
}

// rows makes a set-returning function.
func rows(signature string, f func(c *schema.Call, a []value) (schema.Iterator, error)) implementation {
	return implementation{Signature: signature, Rows: f}
}

// list makes a set-returning function whose rows are few.
func list(signature string, f func(c *schema.Call, a []value) ([]value, error)) implementation {
	return rows(signature, func(c *schema.Call, a []value) (schema.Iterator, error) {
		values, err := f(c, a)
		return schema.Each(values), err
	})
}

func text(s string) value    { return types.OfText(s) }
func number(i int64) value   { return types.OfInt(i) }
func float(f float64) value  { return types.OfFloat(f) }
func boolean(b bool) value   { return types.OfBool(b) }
func bytesOf(b []byte) value { return types.OfBytes(b) }
func array(v ...value) value { return types.OfArray(v) }
func null() (value, error)   { return types.Null(), nil }
func asText(c *schema.Call, oid types.OID, v value) string {
	return string(types.AppendText(nil, oid, v, &c.Style))
}

func errTooLong() error {
	e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "requested length too large")
	e.Detail = "A function makes at most 16 MiB."
	return e
}

func invalidParameter(format string, args ...any) error {
	return pgwire.Errorf(pgwire.CodeInvalidParameterValue, format, args...)
}

func outOfRange(t types.OID) error {
	return pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "%s out of range", t)
}

// bounded refuses results that are too long.
func bounded(b []byte) (value, error) {
	if len(b) > resultBytesMax {
		return value{}, errTooLong()
	}
	return types.OfBytes(b), nil
}

// argumentType is the actual type of an argument; of a domain, what it is over.
func argumentType(c *schema.Call, i int) types.OID {
	if i >= len(c.Types) {
		return types.Text
	}
	t := c.Types[i]
	if types.Lookup(t) == nil && c.Catalog != nil {
		if described := c.Catalog.Type(t); described != nil && described.Kind == 'd' {
			return described.Base
		}
	}
	return t
}
