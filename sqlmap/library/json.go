package library

import (
	"bytes"
	"encoding/json"
	"strconv"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

type rawMessage = json.RawMessage

// member is a member of a JSON object, as its text has it.
type member struct {
	key   string
	value rawMessage
}

// members are those of an object, in the order of the text; ok is false for other JSON.
func members(doc []byte) (list []member, ok bool) {
	ok = types.EachJSONMember(doc, func(key string, value []byte) { list = append(list, member{key, value}) })
	return list, ok
}

// items are those of an array; ok is false for other JSON.
func items(doc []byte) (list []rawMessage, ok bool) {
	ok = types.EachJSONItem(doc, func(item []byte) { list = append(list, item) })
	return list, ok
}

// kindOf is json_typeof.
func kindOf(doc []byte) string {
	doc = bytes.TrimLeft(doc, " \t\n\r")
	if len(doc) == 0 {
		return ""
	}
	switch doc[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// plain is the text of a JSON value: of a string without quotes, NULL for null.
func plain(doc []byte) value {
	switch kindOf(doc) {
	case "null":
		return types.Null()
	case "string":
		var s string
		if json.Unmarshal(doc, &s) == nil {
			return text(s)
		}
	}
	return bytesOf(bytes.TrimSpace(doc))
}

// field is doc -> key: of equal keys the last.
func field(doc []byte, key string) ([]byte, bool) {
	list, _ := members(doc)
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].key == key {
			return list[i].value, true
		}
	}
	return nil, false
}

// item is doc -> index; negative ones count from the end.
func item(doc []byte, index int64) ([]byte, bool) {
	list, _ := items(doc)
	if index < 0 {
		index += int64(len(list))
	}
	if index < 0 || index >= int64(len(list)) {
		return nil, false
	}
	return list[index], true
}

// follow is doc #> path.
func follow(c *schema.Call, doc []byte, path []value) ([]byte, bool, error) {
	for _, step := range path {
		if err := c.Interrupted(0); err != nil || step.IsNull {
			return nil, false, err
		}
		ok := false
		if kindOf(doc) == "array" {
			index, err := strconv.ParseInt(step.Text(), 10, 32)
			if err != nil {
				return nil, false, nil
			}
			doc, ok = item(doc, index)
		} else {
			doc, ok = field(doc, step.Text())
		}
		if !ok {
			return nil, false, nil
		}
	}
	return doc, true, nil
}

// jsonKinds are both types, with the prefix of their functions.
func jsonKinds() map[string]types.OID {
	return map[string]types.OID{"json": types.JSON, "jsonb": types.JSONB}
}

// documents make JSON of values.
func documents() []implementation {
	var out []implementation
	for name, t := range jsonKinds() {
		finish := func(c *schema.Call, doc []byte, err error) (value, error) { return finishJSON(c, t, doc, err) }
		out = append(out,
			call("to_"+name+"(anyelement)", func(c *schema.Call, a []value) (value, error) {
				doc, err := appendJSON(nil, c, argumentType(c, 0), a[0], 0)
				return finish(c, doc, err)
			}),
			call(name+"_build_object(any)", func(c *schema.Call, a []value) (value, error) {
				doc, err := buildObject(c, name, a)
				return finish(c, doc, err)
			}),
			call(name+"_build_array(any)", func(c *schema.Call, a []value) (value, error) {
				doc, err := buildArray(c, a)
				return finish(c, doc, err)
			}),
			constant(name+"_build_object()", text("{}")),
			constant(name+"_build_array()", text("[]")),
			call(name+"_object(text[])", func(c *schema.Call, a []value) (value, error) {
				doc, err := objectOfTexts(c, a[0].Elems)
				return finish(c, doc, err)
			}),
			call(name+"_object(text[],text[])", func(c *schema.Call, a []value) (value, error) {
				doc, err := objectOfPairs(c, a[0].Elems, a[1].Elems)
				return finish(c, doc, err)
			}),
			pure(name+"_typeof("+name+")", func(a []value) (value, error) { return text(kindOf(a[0].Bytes)), nil }),
			pure(name+"_array_length("+name+")", func(a []value) (value, error) {
				list, ok := items(a[0].Bytes)
				if !ok {
					return value{}, invalidParameter("cannot get array length of a %s", map[bool]string{true: "non-array", false: "scalar"}[kindOf(a[0].Bytes) == "object"])
				}
				return number(int64(len(list))), nil
			}),
			call(name+"_strip_nulls("+name+")", func(c *schema.Call, a []value) (value, error) {
				doc, err := stripNulls(c, nil, a[0].Bytes, 0)
				return finish(c, doc, err)
			}))
	}
	return append(append(out, prettyDocuments()...),
		call("row_to_json(record)", func(c *schema.Call, a []value) (value, error) {
			doc, err := appendJSON(nil, c, argumentType(c, 0), a[0], 0)
			return bytesOf(doc), err
		}),
		call("array_to_json(anyarray)", func(c *schema.Call, a []value) (value, error) {
			doc, err := appendJSON(nil, c, argumentType(c, 0), a[0], 0)
			return bytesOf(doc), err
		}),
		pure("jsonb_pretty(jsonb)", func(a []value) (value, error) {
			var out bytes.Buffer
			err := json.Indent(&out, a[0].Bytes, "", "    ")
			return bytesOf(out.Bytes()), err
		}))
}

// prettyDocuments have each element of the outermost level on a line.
func prettyDocuments() []implementation {
	return []implementation{
		call("row_to_json(record,bool)", func(c *schema.Call, a []value) (value, error) {
			if !a[1].IsTrue() || a[0].Shape == nil {
				doc, err := appendJSON(nil, c, argumentType(c, 0), a[0], 0)
				return bytesOf(doc), err
			}
			doc, err := appendJSONRecord(nil, c, a[0], ",\n ", 0)
			return bytesOf(doc), err
		}),
		call("array_to_json(anyarray,bool)", func(c *schema.Call, a []value) (value, error) {
			separator := ","
			if a[1].IsTrue() {
				separator = ",\n "
			}
			doc, err := appendJSONArray(nil, c, elementType(c, 0), a[0], a[0].Dims(), separator, 0)
			return bytesOf(doc), err
		}),
	}
}

// finishJSON checks the length, and gives jsonb its layout.
func finishJSON(c *schema.Call, t types.OID, doc []byte, err error) (value, error) {
	if err != nil {
		return value{}, err
	}
	if len(doc) > resultBytesMax {
		return value{}, errTooLong()
	}
	if t == types.JSONB {
		return types.ParseText(t, doc, &c.Style)
	}
	return bytesOf(doc), nil
}

// jsonDepthMax bounds recursion.
const jsonDepthMax = 1000

// appendJSON appends a value as to_json makes it.
func appendJSON(dst []byte, c *schema.Call, t types.OID, v value, depth int) ([]byte, error) {
	if depth > jsonDepthMax {
		return nil, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "JSON is nested more than %d levels deep", jsonDepthMax)
	}
	if v.IsNull {
		return append(dst, "null"...), nil
	}
	switch t {
	case types.Bool:
		return strconv.AppendBool(dst, v.Int != 0), nil
	case types.JSON, types.JSONB:
		return append(dst, v.Bytes...), nil
	case types.Int2, types.Int4, types.Int8, types.Float4, types.Float8, types.Numeric:
		s := types.AppendText(nil, t, v, &c.Style)
		if last := s[len(s)-1]; last == 'N' || last == 'y' { // NaN and the infinities
			return types.AppendJSONString(dst, s), nil
		}
		return append(dst, s...), nil
	case types.Date, types.Timestamp, types.TimestampTZ:
		return types.AppendJSONString(dst, isoTime(c, t, v)), nil
	}
	if elem := elementOf(c, t); elem != 0 {
		return appendJSONArray(dst, c, elem, v, v.Dims(), ",", depth)
	}
	if v.Shape != nil && len(v.Shape.Fields) > 0 {
		return appendJSONRecord(dst, c, v, ",", depth)
	}
	return types.AppendJSONString(dst, types.AppendText(nil, t, v, &c.Style)), nil
}

func elementOf(c *schema.Call, t types.OID) types.OID {
	if types.Lookup(t) != nil || c.Catalog == nil {
		return t.Elem()
	}
	if described := c.Catalog.Type(t); described != nil && described.IsArray {
		return described.Elem
	}
	return 0
}

// isoTime is a time as XML writes it: with a T, and minutes in the offset.
func isoTime(c *schema.Call, t types.OID, v value) []byte {
	s := types.AppendText(nil, t, v, &c.Style)
	if t == types.Date || types.IsInfinite(t, v) {
		return s
	}
	s = bytes.Replace(s, []byte{' '}, []byte{'T'}, 1)
	if t == types.TimestampTZ {
		if sign := bytes.LastIndexAny(s, "+-"); sign > 10 && len(s)-sign == len("+00") {
			s = append(s, ":00"...)
		}
	}
	return s
}

func appendJSONArray(dst []byte, c *schema.Call, elem types.OID, v value, dims []types.Dim, separator string, depth int) ([]byte, error) {
	dst = append(dst, '[')
	if len(dims) > 0 {
		size := len(v.Elems) / int(max(dims[0].Length, 1))
		for i := range int(dims[0].Length) {
			if err := c.Interrupted(i); err != nil {
				return nil, err
			}
			if i > 0 {
				dst = append(dst, separator...)
			}
			var err error
			if len(dims) > 1 {
				dst, err = appendJSONArray(dst, c, elem, value{Elems: v.Elems[i*size : (i+1)*size]}, dims[1:], ",", depth+1)
			} else {
				dst, err = appendJSON(dst, c, elem, v.Elems[i], depth+1)
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return append(dst, ']'), nil
}

func appendJSONRecord(dst []byte, c *schema.Call, v value, separator string, depth int) ([]byte, error) {
	dst = append(dst, '{')
	for i, e := range v.Elems {
		if i > 0 {
			dst = append(dst, separator...)
		}
		dst = append(types.AppendJSONString(dst, v.Shape.Fields[i].Name), ':')
		var err error
		if dst, err = appendJSON(dst, c, v.Shape.Fields[i].Type, e, depth+1); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

// spread are the arguments of a VARIADIC "any" function and their types.
func spread(c *schema.Call, a []value) ([]value, func(i int) types.OID) {
	if c.SpreadsArray && len(a) == 1 {
		elem := elementType(c, 0)
		return a[0].Elems, func(int) types.OID { return elem }
	}
	return a, func(i int) types.OID { return argumentType(c, i) }
}

func buildObject(c *schema.Call, name string, a []value) ([]byte, error) {
	a, typeOf := spread(c, a)
	if len(a)%2 != 0 {
		e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "argument list must have even number of elements")
		e.Hint = "The arguments of " + name + "_build_object() must consist of alternating keys and values."
		return nil, e
	}
	out := []byte{'{'}
	for i := 0; i < len(a); i += 2 {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ", "...)
		}
		if a[i].IsNull {
			return nil, invalidParameter("argument %d: key must not be null", i+1)
		}
		out = append(types.AppendJSONString(out, types.AppendText(nil, typeOf(i), a[i], &c.Style)), " : "...)
		var err error
		if out, err = appendJSON(out, c, typeOf(i+1), a[i+1], 0); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func buildArray(c *schema.Call, a []value) ([]byte, error) {
	a, typeOf := spread(c, a)
	out := []byte{'['}
	for i := range a {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		if i > 0 {
			out = append(out, ", "...)
		}
		var err error
		if out, err = appendJSON(out, c, typeOf(i), a[i], 0); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func objectOfTexts(c *schema.Call, a []value) ([]byte, error) {
	if len(a)%2 != 0 {
		return nil, pgwire.Errorf(pgwire.CodeArraySubscriptError, "array must have even number of elements")
	}
	var keys, values []value
	for i := 0; i < len(a); i += 2 {
		keys, values = append(keys, a[i]), append(values, a[i+1])
	}
	return objectOfPairs(c, keys, values)
}

func objectOfPairs(c *schema.Call, keys, values []value) ([]byte, error) {
	if len(keys) != len(values) {
		return nil, pgwire.Errorf(pgwire.CodeArraySubscriptError, "mismatched array dimensions")
	}
	out := []byte{'{'}
	for i := range keys {
		if err := c.Interrupted(i); err != nil {
			return nil, err
		}
		if keys[i].IsNull {
			return nil, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "null value not allowed for object key")
		}
		if i > 0 {
			out = append(out, ", "...)
		}
		out = append(types.AppendJSONString(out, keys[i].Bytes), " : "...)
		if values[i].IsNull {
			out = append(out, "null"...)
		} else {
			out = types.AppendJSONString(out, values[i].Bytes)
		}
	}
	return append(out, '}'), nil
}

// stripNulls leaves out members that are null.
func stripNulls(c *schema.Call, dst, doc []byte, depth int) ([]byte, error) {
	if depth > jsonDepthMax {
		return nil, pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "JSON is nested more than %d levels deep", jsonDepthMax)
	}
	err := c.Interrupted(0) // what is nested is read once for every level
	if err != nil {
		return nil, err
	}
	if list, ok := members(doc); ok {
		dst = append(dst, '{')
		any := false
		for _, m := range list {
			if kindOf(m.value) == "null" {
				continue
			}
			if any {
				dst = append(dst, ',')
			}
			any = true
			dst = append(types.AppendJSONString(dst, m.key), ':')
			if dst, err = stripNulls(c, dst, m.value, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, '}'), nil
	}
	if list, ok := items(doc); ok {
		dst = append(dst, '[')
		for i, e := range list {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = stripNulls(c, dst, e, depth+1); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	}
	return append(dst, bytes.TrimSpace(doc)...), nil
}
