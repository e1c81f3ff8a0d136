package library

import (
	"slices"
	"strconv"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// documentOperators take JSON apart and change it.
func documentOperators() []implementation {
	var out []implementation
	for name := range jsonKinds() {
		answer := func(doc []byte, ok, asText bool) (value, error) {
			switch {
			case !ok:
				return null()
			case asText:
				return plain(doc), nil
			}
			return bytesOf(doc), nil
		}
		for suffix, asText := range map[string]bool{"": false, "_text": true} {
			out = append(out,
				pure(name+"_object_field"+suffix+"("+name+",text)", func(a []value) (value, error) {
					doc, ok := field(a[0].Bytes, a[1].Text())
					return answer(doc, ok, asText)
				}),
				pure(name+"_array_element"+suffix+"("+name+",int4)", func(a []value) (value, error) {
					doc, ok := item(a[0].Bytes, a[1].Int)
					return answer(doc, ok, asText)
				}),
				call(name+"_extract_path"+suffix+"("+name+",text[])", func(c *schema.Call, a []value) (value, error) {
					doc, ok, err := follow(c, a[0].Bytes, a[1].Elems)
					if err != nil {
						return value{}, err
					}
					return answer(doc, ok, asText)
				}))
		}
	}
	return append(append(out, documentTests()...), documentChanges()...)
}

// hasKey is doc ? key.
func hasKey(doc []byte, key string) bool {
	if list, ok := members(doc); ok {
		return slices.ContainsFunc(list, func(m member) bool { return m.key == key })
	}
	isKey := func(e []byte) bool { return kindOf(e) == "string" && plain(e).Text() == key }
	if list, ok := items(doc); ok {
		return slices.ContainsFunc(list, func(e rawMessage) bool { return isKey(e) })
	}
	return isKey(doc)
}

func documentTests() []implementation {
	all := func(c *schema.Call, a []value, any bool) (value, error) {
		for _, key := range a[1].Elems {
			if err := c.Interrupted(0); err != nil {
				return value{}, err
			}
			if !key.IsNull && hasKey(a[0].Bytes, key.Text()) == any {
				return boolean(any), nil
			}
		}
		return boolean(!any), nil
	}
	contains := func(c *schema.Call, doc, part value) (value, error) {
		t := containment{call: c, steps: types.StepsPerCheck}
		holds := t.contains(doc.Bytes, part.Bytes, true)
		return boolean(holds), t.err
	}
	return []implementation{
		pure("jsonb_exists(jsonb,text)", func(a []value) (value, error) { return boolean(hasKey(a[0].Bytes, a[1].Text())), nil }),
		call("jsonb_exists_any(jsonb,text[])", func(c *schema.Call, a []value) (value, error) { return all(c, a, true) }),
		call("jsonb_exists_all(jsonb,text[])", func(c *schema.Call, a []value) (value, error) { return all(c, a, false) }),
		call("jsonb_contains(jsonb,jsonb)", func(c *schema.Call, a []value) (value, error) { return contains(c, a[0], a[1]) }),
		call("jsonb_contained(jsonb,jsonb)", func(c *schema.Call, a []value) (value, error) { return contains(c, a[1], a[0]) }),
	}
}

// containment is doc @> part, which compares every item with every other.
type containment struct {
	call  *schema.Call
	steps int   // since the context was asked
	err   error // the statement has ended
}

// contains reports what it says. At the top, an array contains a scalar that it has.
func (t *containment) contains(doc, part []byte, isTop bool) bool {
	const bytesPerStep = 64 // of reading
	if t.steps += 1 + (len(doc)+len(part))/bytesPerStep; t.steps >= types.StepsPerCheck && t.err == nil {
		t.err, t.steps = t.call.Interrupted(0), 0
	}
	if t.err != nil {
		return false
	}
	kind := kindOf(doc)
	if want, ok := items(part); ok {
		have, isArray := items(doc)
		return isArray && !slices.ContainsFunc(want, func(w rawMessage) bool {
			return !slices.ContainsFunc(have, func(h rawMessage) bool { return t.contains(h, w, false) })
		})
	}
	if want, ok := members(part); ok {
		if kind != "object" {
			return false
		}
		have := make(map[string][]byte)
		types.EachJSONMember(doc, func(key string, value []byte) { have[key] = value })
		return !slices.ContainsFunc(want, func(m member) bool {
			v, has := have[m.key]
			return !has || !t.contains(v, m.value, false)
		})
	}
	if have, ok := items(doc); ok {
		return isTop && slices.ContainsFunc(have, func(h rawMessage) bool { return t.contains(h, part, false) })
	}
	return kind != "object" && types.Compare(types.JSONB, bytesOf(doc), bytesOf(part)) == 0
}

func documentChanges() []implementation {
	return []implementation{
		call("jsonb_concat(jsonb,jsonb)", func(c *schema.Call, a []value) (value, error) { return types.JSONConcat(c.Ctx, a[0], a[1]) }),
		call("jsonb_delete(jsonb,text)", func(c *schema.Call, a []value) (value, error) { return removeKeys(c, a[0], a[1:2]) }),
		call("jsonb_delete(jsonb,text[])", func(c *schema.Call, a []value) (value, error) { return removeKeys(c, a[0], a[1].Elems) }),
		call("jsonb_delete(jsonb,int4)", func(c *schema.Call, a []value) (value, error) {
			list, ok := items(a[0].Bytes)
			if !ok {
				return value{}, invalidParameter("cannot delete from %s using integer index", kindOf(a[0].Bytes))
			}
			at := a[1].Int
			if at < 0 {
				at += int64(len(list))
			}
			if at >= 0 && at < int64(len(list)) {
				list = slices.Delete(list, int(at), int(at)+1)
			}
			return finishJSON(c, types.JSONB, appendItems(nil, list), nil)
		}),
		call("jsonb_delete_path(jsonb,text[])", func(c *schema.Call, a []value) (value, error) {
			doc, err := changePath(a[0].Bytes, a[1].Elems, nil, change{call: c, removes: true})
			return finishJSON(c, types.JSONB, doc, err)
		}),
		call("jsonb_set(jsonb,text[],jsonb,bool)", func(c *schema.Call, a []value) (value, error) {
			doc, err := changePath(a[0].Bytes, a[1].Elems, a[2].Bytes, change{call: c, creates: a[3].IsTrue()})
			return finishJSON(c, types.JSONB, doc, err)
		}),
		call("jsonb_set_lax(jsonb,text[],jsonb,bool,text)", setLax),
		call("jsonb_insert(jsonb,text[],jsonb,bool)", func(c *schema.Call, a []value) (value, error) {
			doc, err := changePath(a[0].Bytes, a[1].Elems, a[2].Bytes, change{call: c, inserts: true, creates: true, after: a[3].IsTrue()})
			return finishJSON(c, types.JSONB, doc, err)
		}),
	}
}

// setLax is jsonb_set with a word for what NULL means.
func setLax(c *schema.Call, a []value) (value, error) {
	for _, v := range []value{a[0], a[1], a[3]} {
		if v.IsNull {
			return null()
		}
	}
	how := change{call: c, creates: a[3].IsTrue()}
	replacement := a[2].Bytes
	if a[2].IsNull {
		switch a[4].Text() {
		case "use_json_null":
			replacement = []byte("null")
		case "return_target":
			return a[0], nil
		case "delete_key":
			how = change{call: c, removes: true}
		case "raise_exception":
			return value{}, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "JSON value must not be null")
		default:
			return value{}, invalidParameter("null_value_treatment must be \"delete_key\", \"return_target\", \"use_json_null\", or \"raise_exception\"")
		}
	}
	doc, err := changePath(a[0].Bytes, a[1].Elems, replacement, how)
	return finishJSON(c, types.JSONB, doc, err)
}

func appendItems(dst []byte, list []rawMessage) []byte {
	dst = append(dst, '[')
	for i, e := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(dst, e...)
	}
	return append(dst, ']')
}

func appendMembers(dst []byte, list []member) []byte {
	dst = append(dst, '{')
	for i, m := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(types.AppendJSONString(dst, m.key), ':')
		dst = append(dst, m.value...)
	}
	return append(dst, '}')
}

func removeKeys(c *schema.Call, doc value, keys []value) (value, error) {
	isKey := func(s string) bool {
		return slices.ContainsFunc(keys, func(k value) bool { return !k.IsNull && k.Text() == s })
	}
	if list, ok := members(doc.Bytes); ok {
		return finishJSON(c, types.JSONB, appendMembers(nil, slices.DeleteFunc(list, func(m member) bool { return isKey(m.key) })), nil)
	}
	list, ok := items(doc.Bytes)
	if !ok {
		return value{}, invalidParameter("cannot delete from scalar")
	}
	list = slices.DeleteFunc(list, func(e rawMessage) bool { return kindOf(e) == "string" && isKey(plain(e).Text()) })
	return finishJSON(c, types.JSONB, appendItems(nil, list), nil)
}

// change says what to do at the end of a path.
type change struct {
	call                             *schema.Call
	removes, creates, inserts, after bool
}

// changePath changes what is at the end of a path. The path is bounded by the depth of doc.
func changePath(doc []byte, path []value, replacement []byte, how change) ([]byte, error) {
	if err := how.call.Interrupted(0); err != nil || len(path) == 0 {
		return doc, err
	}
	if path[0].IsNull {
		return nil, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "path element at position 1 is null")
	}
	if list, ok := members(doc); ok {
		return changeMember(list, path, replacement, how)
	}
	list, ok := items(doc)
	if !ok {
		return doc, nil
	}
	return changeItem(list, path, replacement, how)
}

func changeMember(list []member, path []value, replacement []byte, how change) ([]byte, error) {
	at := slices.IndexFunc(list, func(m member) bool { return m.key == path[0].Text() })
	switch {
	case at >= 0 && len(path) > 1:
		inner, err := changePath(list[at].value, path[1:], replacement, how)
		if err != nil {
			return nil, err
		}
		list[at].value = inner
	case len(path) > 1:
	case at >= 0 && how.removes:
		list = slices.Delete(list, at, at+1)
	case at >= 0 && how.inserts:
		return nil, invalidParameter("cannot replace existing key")
	case at >= 0:
		list[at].value = replacement
	case how.creates && !how.removes:
		list = append(list, member{path[0].Text(), replacement})
	}
	return appendMembers(nil, list), nil
}

func changeItem(list []rawMessage, path []value, replacement []byte, how change) ([]byte, error) {
	index, err := strconv.Atoi(path[0].Text())
	if err != nil {
		return nil, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "path element at position 1 is not an integer: \"%s\"", path[0].Text())
	}
	isBefore := false
	if index < 0 {
		index += len(list)
		isBefore = index < 0
	}
	at := max(index, 0)
	switch {
	case len(path) > 1:
		if at < len(list) && !isBefore {
			inner, err := changePath(list[at], path[1:], replacement, how)
			if err != nil {
				return nil, err
			}
			list[at] = inner
		}
	case how.removes:
		if at < len(list) && !isBefore {
			list = slices.Delete(list, at, at+1)
		}
	case how.inserts:
		if how.after && !isBefore {
			at++
		}
		list = slices.Insert(list, min(at, len(list)), rawMessage(replacement))
	case isBefore && how.creates:
		list = slices.Insert(list, 0, rawMessage(replacement))
	case at < len(list) && !isBefore:
		list[at] = replacement
	case how.creates:
		list = append(list, replacement)
	}
	return appendItems(nil, list), nil
}

// documentSets make rows of JSON.
func documentSets() []implementation {
	var out []implementation
	for name := range jsonKinds() {
		for suffix, asText := range map[string]bool{"": false, "_text": true} {
			out = append(out,
				list(name+"_array_elements"+suffix+"("+name+")", func(_ *schema.Call, a []value) ([]value, error) {
					elements, ok := items(a[0].Bytes)
					if !ok {
						return nil, invalidParameter("cannot extract elements from %s", map[bool]string{true: "an object", false: "a scalar"}[kindOf(a[0].Bytes) == "object"])
					}
					return mapped(elements, func(e rawMessage) value { return shown(e, asText) }), nil
				}),
				list(name+"_each"+suffix+"("+name+")", func(_ *schema.Call, a []value) ([]value, error) {
					pairs, ok := members(a[0].Bytes)
					if !ok {
						return nil, invalidParameter("cannot deconstruct %s", map[bool]string{true: "an array as an object", false: "a scalar"}[kindOf(a[0].Bytes) == "array"])
					}
					return mapped(pairs, func(m member) value { return value{Elems: []value{text(m.key), shown(m.value, asText)}} }), nil
				}))
		}
		out = append(out, list(name+"_object_keys("+name+")", func(_ *schema.Call, a []value) ([]value, error) {
			pairs, ok := members(a[0].Bytes)
			if !ok {
				return nil, invalidParameter("cannot call %s_object_keys on %s", name, map[bool]string{true: "an array", false: "a scalar"}[kindOf(a[0].Bytes) == "array"])
			}
			return mapped(pairs, func(m member) value { return text(m.key) }), nil
		}))
	}
	return out
}

func shown(doc []byte, asText bool) value {
	if asText {
		return plain(doc)
	}
	return bytesOf(doc)
}

func mapped[T any](list []T, f func(T) value) []value {
	out := make([]value, len(list))
	for i := range list {
		out[i] = f(list[i])
	}
	return out
}
