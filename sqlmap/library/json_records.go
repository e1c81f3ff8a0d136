package library

import (
	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// documentRecords make rows of JSON objects: of the columns that the statement defines, or of
// those of a row that it gives.
func documentRecords() []implementation {
	var out []implementation
	for name, t := range jsonKinds() {
		populate := "(anyelement," + name + ",bool)"
		if t == types.JSONB {
			populate = "(anyelement,jsonb)"
		}
		out = append(out,
			call(name+"_to_record("+name+")", func(c *schema.Call, a []value) (value, error) {
				if a[0].IsNull {
					return a[0], nil
				}
				return recordOf(c, c.Columns, a[0].Bytes, nil, name+"_to_record")
			}),
			list(name+"_to_recordset("+name+")", func(c *schema.Call, a []value) ([]value, error) {
				if a[0].IsNull {
					return nil, nil
				}
				return recordsOf(c, c.Columns, a[0].Bytes, nil, name+"_to_recordset")
			}),
			call(name+"_populate_record"+populate, func(c *schema.Call, a []value) (value, error) {
				if a[1].IsNull {
					return a[0], nil
				}
				return recordOf(c, columnsOfResult(c), a[1].Bytes, &a[0], name+"_populate_record")
			}),
			list(name+"_populate_recordset"+populate, func(c *schema.Call, a []value) ([]value, error) {
				if a[1].IsNull {
					return nil, nil
				}
				return recordsOf(c, columnsOfResult(c), a[1].Bytes, &a[0], name+"_populate_recordset")
			}))
	}
	return out
}

// columnsOfResult are those of the type of the row that was given.
func columnsOfResult(c *schema.Call) []schema.Column {
	if len(c.Columns) > 0 {
		return c.Columns
	}
	if t := c.Catalog.Type(c.Returns); t != nil {
		return t.Fields
	}
	return nil
}

func recordsOf(c *schema.Call, columns []schema.Column, doc []byte, base *value, name string) ([]value, error) {
	elements, ok := items(doc)
	if !ok {
		return nil, invalidParameter("cannot call %s on %s", name, map[bool]string{true: "an object", false: "a scalar"}[kindOf(doc) == "object"])
	}
	rows := make([]value, len(elements))
	for i, e := range elements {
		if kindOf(e) != "object" {
			return nil, invalidParameter("argument of %s must be an array of objects", name)
		}
		var err error
		if rows[i], err = recordOf(c, columns, e, base, name); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func recordOf(c *schema.Call, columns []schema.Column, doc []byte, base *value, name string) (value, error) {
	if len(columns) == 0 {
		e := pgwire.Errorf(pgwire.CodeDatatypeMismatch, "could not determine row type for result of %s", name)
		e.Hint = "Provide a non-null record argument, or call the function in the FROM clause using a column definition list."
		return value{}, e
	}
	pairs, ok := members(doc)
	if !ok {
		return value{}, invalidParameter("cannot call populate_composite on %s", map[bool]string{true: "an array", false: "a scalar"}[kindOf(doc) == "array"])
	}
	given := make(map[string]rawMessage, len(pairs))
	for _, m := range pairs {
		given[m.key] = m.value
	}
	out := value{Elems: make([]value, len(columns)), Shape: &types.Shape{}}
	for i, column := range columns {
		out.Shape.Fields = append(out.Shape.Fields, types.Field{Name: column.Name, Type: column.Type})
		raw, ok := given[column.Name]
		if !ok {
			if out.Elems[i] = types.Null(); base != nil && !base.IsNull && i < len(base.Elems) {
				out.Elems[i] = base.Elems[i]
			}
			continue
		}
		var err error
		if out.Elems[i], err = valueOfJSON(c, column.Type, raw, 0); err != nil {
			return value{}, err
		}
		if out.Elems[i], err = fitted(column, out.Elems[i]); err != nil {
			return value{}, err
		}
	}
	return out, nil
}

// fitted applies the modifier of a column's type, as the type's input does.
func fitted(column schema.Column, v value) (value, error) {
	if column.Typmod < 0 || v.IsNull {
		return v, nil
	}
	switch t, modifier := column.Type, number(int64(column.Typmod)); t {
	case types.VarChar, types.BPChar:
		return limitCharacters(t, []value{v, modifier, boolean(false)})
	case types.Bit, types.VarBit:
		return limitBits(t, []value{v, modifier, boolean(false)})
	case types.Numeric:
		return types.LimitNumeric(v, column.Typmod)
	case types.Interval:
		return types.LimitInterval(v, column.Typmod), nil
	case types.Timestamp, types.TimestampTZ, types.Time, types.TimeTZ:
		out, _ := types.Modify(v, t, []int64{int64(column.Typmod)})
		return out, nil
	}
	return v, nil
}

// valueOfJSON makes a value of a type: of an array from a JSON array, of a row from an object,
// of others from the text.
func valueOfJSON(c *schema.Call, t types.OID, doc []byte, depth int) (value, error) {
	if depth > jsonDepthMax {
		return value{}, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "JSON is nested more than %d levels deep", jsonDepthMax)
	}
	if err := c.Interrupted(0); err != nil {
		return value{}, err
	}
	kind := kindOf(doc)
	if kind == "null" {
		return types.Null(), nil
	}
	if t == types.JSON || t == types.JSONB {
		return types.ParseText(t, doc, &c.Style)
	}
	described := c.Catalog.Type(t)
	switch {
	case described != nil && described.Kind == 'd':
		return valueOfJSON(c, described.Base, doc, depth+1)
	case described != nil && described.Kind == 'c' && kind == "object":
		return recordOf(c, described.Fields, doc, nil, "json_populate_record")
	case described != nil && described.IsArray && kind == "array":
		literal, err := arrayLiteral(c, described.Elem, nil, doc, depth)
		if err != nil {
			return value{}, err
		}
		return types.ParseText(t, literal, &c.Style)
	case described != nil && described.IsArray && kind != "string":
		e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "expected JSON array")
		return value{}, e
	}
	return types.ParseText(t, plain(doc).Bytes, &c.Style)
}

// arrayLiteral writes a JSON array as the text of an array.
func arrayLiteral(c *schema.Call, elem types.OID, dst, doc []byte, depth int) ([]byte, error) {
	if depth > jsonDepthMax {
		return nil, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "JSON is nested more than %d levels deep", jsonDepthMax)
	}
	elements, _ := items(doc)
	dst = append(dst, '{')
	for i, e := range elements {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		if i > 0 {
			dst = append(dst, ',')
		}
		isDocument := elem == types.JSON || elem == types.JSONB
		switch kind := kindOf(e); {
		case kind == "null":
			dst = append(dst, "NULL"...)
		case kind == "array" && !isDocument:
			var err error
			if dst, err = arrayLiteral(c, elem, dst, e, depth+1); err != nil {
				return nil, err
			}
		case isDocument:
			dst = appendQuoted(dst, e)
		default:
			dst = appendQuoted(dst, plain(e).Bytes)
		}
	}
	return append(dst, '}'), nil
}

// appendQuoted appends an element of an array in quotes.
func appendQuoted(dst, text []byte) []byte {
	dst = append(dst, '"')
	for _, b := range text {
		if b == '"' || b == '\\' {
			dst = append(dst, '\\')
		}
		dst = append(dst, b)
	}
	return append(dst, '"')
}
