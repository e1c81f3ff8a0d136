package library

import (
	"bytes"
	"encoding/json"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// typeAny is the pseudo-type "any".
const typeAny types.OID = 2276

// documentConstructs are JSON_OBJECT, JSON_ARRAY and IS JSON. Their first arguments are what the
// syntax says: ABSENT ON NULL, WITH UNIQUE KEYS.
func documentConstructs() []implementation {
	construct := func(name string, returns types.OID, first []types.OID, f func(c *schema.Call, a []value) (value, error)) []implementation {
		some := &schema.Function{Name: name, Args: append(first[:len(first):len(first)], typeAny), Variadic: typeAny, Returns: returns, Volatility: 's'}
		none := &schema.Function{Name: name, Args: first, Returns: returns, Volatility: 's'}
		return []implementation{{Construct: some, Call: f}, {Construct: none, Call: f}}
	}
	var out []implementation
	for name, t := range jsonKinds() {
		out = append(out, construct(name+"_object", t, []types.OID{types.Bool, types.Bool}, func(c *schema.Call, a []value) (value, error) {
			doc, err := constructObject(c, a)
			return finishJSON(c, t, doc, err)
		})...)
		out = append(out, construct(name+"_array", t, []types.OID{types.Bool}, func(c *schema.Call, a []value) (value, error) {
			doc, err := constructArray(c, a)
			return finishJSON(c, t, doc, err)
		})...)
	}
	isJSON := &schema.Function{Name: "is_json", Args: []types.OID{types.Text, types.Bool, typeAny}, Variadic: typeAny, Returns: types.Bool, Volatility: 'i', IsStrict: true}
	return append(out, implementation{Construct: isJSON, Call: isDocument})
}

// jsonKeys are those of an object that may have each once.
type jsonKeys map[string]bool

func (k jsonKeys) add(c *schema.Call, key []byte) error {
	if k[string(key)] {
		return pgwire.Errorf(pgwire.CodeDuplicateJSONKey, "duplicate JSON object key value: %s", types.AppendJSONString(nil, key))
	}
	k[string(key)] = true
	return c.Charge(int64(len(key)))
}

func constructObject(c *schema.Call, a []value) ([]byte, error) {
	skipsNulls, isUnique := a[0].IsTrue(), a[1].IsTrue()
	const first = 2
	out, keys := []byte{'{'}, make(jsonKeys)
	for i := first; i+1 < len(a); i += 2 {
		if a[i].IsNull {
			return nil, pgwire.Errorf(pgwire.CodeNullValueNotAllowed, "null value not allowed for object key")
		}
		key := types.AppendText(nil, argumentType(c, i), a[i], &c.Style)
		if isUnique {
			if err := keys.add(c, key); err != nil {
				return nil, err
			}
		}
		if skipsNulls && a[i+1].IsNull {
			continue
		}
		if len(out) > 1 {
			out = append(out, ", "...)
		}
		out = append(types.AppendJSONString(out, key), " : "...)
		var err error
		if out, err = appendJSON(out, c, argumentType(c, i+1), a[i+1], 0); err != nil {
			return nil, err
		}
	}
	return append(out, '}'), nil
}

func constructArray(c *schema.Call, a []value) ([]byte, error) {
	out := []byte{'['}
	for i := 1; i < len(a); i++ {
		if a[0].IsTrue() && a[i].IsNull {
			continue
		}
		if len(out) > 1 {
			out = append(out, ", "...)
		}
		var err error
		if out, err = appendJSON(out, c, argumentType(c, i), a[i], 0); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

// isDocument is IS JSON: of a kind, and without a key that an object has twice.
func isDocument(_ *schema.Call, a []value) (value, error) {
	doc := a[2].Bytes
	if _, err := types.ParseText(types.JSON, doc, nil); err != nil {
		return boolean(false), nil
	}
	is := kindOf(doc)
	switch wanted := a[0].Text(); {
	case wanted == "scalar" && (is == "array" || is == "object"), wanted == "array" && is != wanted, wanted == "object" && is != wanted:
		return boolean(false), nil
	}
	return boolean(!a[1].IsTrue() || hasUniqueKeys(doc)), nil
}

// hasUniqueKeys reads a document that is valid.
func hasUniqueKeys(doc []byte) bool {
	var open []jsonKeys // of the containers around; nil: an array
	isKey := false      // whether the next string is one
	d := json.NewDecoder(bytes.NewReader(doc))
	for {
		t, err := d.Token()
		if err != nil {
			return true
		}
		inObject := func() bool { return len(open) > 0 && open[len(open)-1] != nil }
		switch t := t.(type) {
		case json.Delim:
			switch t {
			case '{':
				open = append(open, make(jsonKeys))
			case '[':
				open = append(open, nil)
			default:
				open = open[:len(open)-1]
			}
			isKey = inObject()
			continue
		case string:
			if isKey && inObject() {
				if open[len(open)-1][t] {
					return false
				}
				open[len(open)-1][t] = true
				isKey = false
				continue
			}
		}
		isKey = inObject()
	}
}
