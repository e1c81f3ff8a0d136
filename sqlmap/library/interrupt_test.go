package library

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

var errEnded = errors.New("the statement has ended")

// countdown is a context that ends when it has been asked so many times.
type countdown struct {
	context.Context
	asked, left int
}

func (c *countdown) Err() error {
	if c.asked++; c.asked > c.left {
		return errEnded
	}
	return nil
}

// Done is never closed: what only waits for that would not see the end.
func (c *countdown) Done() <-chan struct{} { return nil }

func repeated(s string, n int) value { return bytesOf(bytes.Repeat([]byte(s), n)) }

func manyTexts(s string, n int) value {
	elems := make([]value, n)
	for i := range elems {
		elems[i] = text(s)
	}
	return types.OfArray(elems)
}

// TestLongCallsEndWithTheirStatement: a function that goes over much asks its context again and again
// and returns its error; without an end it has a result.
func TestLongCallsEndWithTheirStatement(t *testing.T) {
	const many = 20_000
	array, object := bytesOf(append(append([]byte("["), bytes.Repeat([]byte("1,"), many)...), "2]"...)), bytesOf(append(append([]byte("{"), bytes.Repeat([]byte(`"a":null,`), many)...), `"b":1}`...))
	texts := []types.OID{types.TextArray, types.TextArray}
	tests := []struct {
		signature string
		args      []value
		types     []types.OID
	}{
		{"regexp_matches(text,text,text)", []value{repeated("ab", many), text("a"), text("g")}, nil},
		{"regexp_matches(text,text,text)", []value{repeated("ab", many), text("x*"), text("g")}, nil},
		{"regexp_replace(text,text,text,text)", []value{repeated("ab", many), text(`\y.`), text("x"), text("g")}, nil},
		{"regexp_split_to_table(text,text)", []value{repeated("ab", many), text("b")}, nil},
		{"regexp_count(text,text)", []value{repeated("ab", many), text("[b]")}, nil},
		{"regexp_like(text,text)", []value{repeated("a", 40*many), text("(a|b|c|d)*e")}, nil},
		{"regexp_instr(text,text)", []value{repeated("a", 10*many), text("^(a{200})*b")}, nil},
		{"textregexeq(text,text)", []value{repeated("a", 40*many), text("[a-z]+b")}, nil},
		{"substring(text,text,text)", []value{repeated("a", 40*many), text(`%#"a#"%`), text("#")}, nil},
		{"textlike(text,text)", []value{repeated("a", many), text("%ab")}, nil},
		{"texticlike(text,text)", []value{repeated("a", many), text("%ab")}, nil},
		{"string_to_array(text,text)", []value{repeated("a,", many), text(",")}, nil},
		{"string_to_array(text,text)", []value{repeated("a", many), types.Null()}, nil},
		{"string_to_table(text,text,text)", []value{repeated("a,", many), text(","), text("a")}, nil},
		{"to_jsonb(anyelement)", []value{manyTexts("a", many)}, texts},
		{"jsonb_object(text[])", []value{manyTexts("a", many)}, texts},
		{"json_object(text[],text[])", []value{manyTexts("a", many), manyTexts("a", many)}, texts},
		{"jsonb_concat(jsonb,jsonb)", []value{array, array}, nil},
		{"json_strip_nulls(json)", []value{array}, nil},
		{"jsonb_strip_nulls(jsonb)", []value{object}, nil},
		{"jsonb_delete(jsonb,text)", []value{array, text("x")}, nil},
		{"jsonb_set(jsonb,text[],jsonb,bool)", []value{array, types.OfArray([]value{text("1")}), text("3"), boolean(true)}, nil},
		{"jsonb_contains(jsonb,jsonb)", []value{array, text("[2]")}, nil},
		{"jsonb_exists_any(jsonb,text[])", []value{text("{}"), manyTexts("a", 5)}, nil},
		{"jsonb_extract_path(jsonb,text[])", []value{text(`[[1]]`), manyTexts("0", 2)}, nil},
		{"arraycontains(anyarray,anyarray)", []value{manyTexts("a", 5), manyTexts("a", 5)}, texts},
		{"arrayoverlap(anyarray,anyarray)", []value{manyTexts("a", 5), manyTexts("b", 5)}, texts},
		{"array_to_string(anyarray,text)", []value{manyTexts("a", many), text(",")}, texts},
	}
	all := make(map[string]implementation)
	for _, f := range All() {
		all[f.Signature] = f
	}
	for _, test := range tests {
		run := func(left int) error {
			ctx := &countdown{Context: context.Background(), left: left}
			env := &schema.Env{Charge: func(int64) error { return nil }}
			env.SetContext(ctx)
			c := &schema.Call{Env: env, Function: &schema.Function{Name: test.signature}, Types: test.types}
			args := make([]value, len(test.args))
			for i, a := range test.args {
				args[i] = a.Clone()
			}
			return runToEnd(all[test.signature], c, args)
		}
		const never = 1 << 40
		if err := run(never); err != nil {
			t.Errorf("%s: %v", test.signature, err)
		}
		for left := range 2 {
			if err := run(left); !errors.Is(err, errEnded) {
				t.Errorf("%s, its context asked %d times before it ended: %v", test.signature, left, err)
			}
		}
	}
}

// runToEnd calls a function and takes all its rows.
func runToEnd(f implementation, c *schema.Call, args []value) error {
	if f.Call != nil {
		_, err := f.Call(c, args)
		return err
	}
	next, err := f.Rows(c, args)
	for ok := true; ok && err == nil; {
		_, ok, err = next()
	}
	return err
}
