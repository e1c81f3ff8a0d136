package library

import (
	"bytes"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// castList are the casts that pg_cast does by a function: the function has the target's name.
func castList() [][2]types.OID {
	var out [][2]types.OID
	numbers := []types.OID{types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric}
	for _, from := range append(numbers, types.JSONB) {
		for _, to := range numbers {
			if from != to {
				out = append(out, [2]types.OID{from, to})
			}
		}
	}
	for _, pair := range [][2]types.OID{
		{types.JSONB, types.Bool}, {types.Int4, types.Bool}, {types.Bool, types.Int4}, {types.Oid, types.Int8}, {types.Int8, types.Oid},
		{types.Char, types.Int4}, {types.Int4, types.Char}, {types.Text, types.Char}, {types.Char, types.Text}, {types.Char, types.BPChar},
		{types.Name, types.Text}, {types.Name, types.BPChar}, {types.Name, types.VarChar}, {types.Text, types.Name}, {types.BPChar, types.Name}, {types.VarChar, types.Name},
		{types.BPChar, types.Text}, {types.Text, types.XML}, {types.Bool, types.Text}, {types.Inet, types.Cidr}, {types.Text, types.RegClass},
		{types.Date, types.Timestamp}, {types.Date, types.TimestampTZ}, {types.Timestamp, types.TimestampTZ}, {types.TimestampTZ, types.Timestamp},
		{types.Timestamp, types.Date}, {types.TimestampTZ, types.Date}, {types.Timestamp, types.Time}, {types.TimestampTZ, types.Time},
		{types.TimestampTZ, types.TimeTZ}, {types.Time, types.TimeTZ}, {types.TimeTZ, types.Time}, {types.Time, types.Interval}, {types.Interval, types.Time},
		{types.Bit, types.Int4}, {types.Bit, types.Int8}, {types.Xid8, types.Xid},
	} {
		out = append(out, pair)
	}
	return out
}

func casts() []implementation {
	var out []implementation
	for _, pair := range castList() {
		from, to := pair[0], pair[1]
		signature := types.Lookup(to).Internal + "(" + types.Lookup(from).Internal + ")"
		out = append(out, call(signature, func(c *schema.Call, a []value) (value, error) { return types.Cast(a[0], from, to, &c.Style) }))
	}
	out = append(out,
		call("text(inet)", func(c *schema.Call, a []value) (value, error) {
			host := types.AppendHost(nil, a[0])
			return types.OfBytes(append(append(host, '/'), types.AppendText(nil, types.Int8, number(a[0].Int), nil)...)), nil
		}),
		pure("bit(int4,int4)", func(a []value) (value, error) { return types.IntToBits(a[0], types.Int4, max(a[1].Int, 1)), nil }),
		pure("bit(int8,int4)", func(a []value) (value, error) { return types.IntToBits(a[0], types.Int8, max(a[1].Int, 1)), nil }))
	return append(out, lengthCasts()...)
}

// lengthCasts apply a type modifier to a value of the type already.
func lengthCasts() []implementation {
	out := []implementation{
		pure("varchar(varchar,int4,bool)", func(a []value) (value, error) { return limitCharacters(types.VarChar, a) }),
		pure("bpchar(bpchar,int4,bool)", func(a []value) (value, error) { return limitCharacters(types.BPChar, a) }),
		pure("bit(bit,int4,bool)", func(a []value) (value, error) { return limitBits(types.Bit, a) }),
		pure("varbit(varbit,int4,bool)", func(a []value) (value, error) { return limitBits(types.VarBit, a) }),
		pure("numeric(numeric,int4)", func(a []value) (value, error) { return types.LimitNumeric(a[0], int32(a[1].Int)) }),
		pure("interval(interval,int4)", func(a []value) (value, error) { return types.LimitInterval(a[0], int32(a[1].Int)), nil }),
	}
	for _, t := range []types.OID{types.Timestamp, types.TimestampTZ, types.Time, types.TimeTZ} {
		name := types.Lookup(t).Internal
		out = append(out, pure(name+"("+name+",int4)", func(a []value) (value, error) {
			v, _ := types.Modify(a[0], t, []int64{a[1].Int})
			return v, nil
		}))
	}
	return out
}

// limitCharacters cuts to the length of a modifier; only blanks, unless the cast is explicit.
func limitCharacters(t types.OID, a []value) (value, error) {
	const header = 4
	length := a[1].Int - header
	if length < 0 {
		return a[0], nil
	}
	v, _ := types.Modify(a[0], t, []int64{length})
	if cut := a[0].Bytes[min(len(v.Bytes), len(a[0].Bytes)):]; !a[2].IsTrue() && len(bytes.Trim(cut, " ")) > 0 {
		return value{}, pgwire.Errorf(pgwire.CodeStringDataRightTruncation, "value too long for type %s(%d)", t, length)
	}
	return v, nil
}

func limitBits(t types.OID, a []value) (value, error) {
	length := a[1].Int
	if length <= 0 || t == types.VarBit && a[0].Int <= length || a[0].Int == length {
		return a[0], nil
	}
	if !a[2].IsTrue() {
		if t == types.Bit {
			return value{}, pgwire.Errorf(pgwire.CodeStringDataLengthMismatch, "bit string length %d does not match type bit(%d)", a[0].Int, length)
		}
		return value{}, pgwire.Errorf(pgwire.CodeStringDataRightTruncation, "bit string too long for type bit varying(%d)", length)
	}
	v, ok := types.Modify(a[0], t, []int64{length})
	if !ok {
		return value{}, errTooLong()
	}
	return v, nil
}
