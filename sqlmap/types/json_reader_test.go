package types

import (
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"testing"
)

// FuzzJSONB: jsonb means what the text means, both readers agree, and its text stays as it is.
func FuzzJSONB(f *testing.F) {
	for _, seed := range []string{
		` { "b" : [ 1 , -0, 1e3, 0.50, -12 ] , "a" : { } , "b" : null, "aa":true } `,
		`[[{"z":{"y":1,"x":2,"y":3},"a":"\u00e9\"\\\/\n"}],[],[{}],"]}",{"\"}":"{["}]`,
		`"\ud83d\ude00"`, `"\ud800"`, `123456789012345678901234567890`, "\t null\n", `{"a":{"b":{"d":1,"c":2}},"":"x"}`, `{"\u0000":1}`, `"\u0000"`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := ParseText(JSONB, []byte(s), nil)
		if err != nil {
			return
		}
		var want, got any
		if json.Unmarshal([]byte(s), &want) == nil && (json.Unmarshal(v.Bytes, &got) != nil || !reflect.DeepEqual(got, want)) {
			t.Fatalf("%s became %s", s, v.Bytes)
		}
		if again, err := ParseText(JSONB, v.Bytes, nil); err != nil || string(again.Bytes) != string(v.Bytes) {
			t.Fatalf("%s became %s, %v", v.Bytes, again.Bytes, err)
		}
		tree, err := decodeJSON(context.Background(), []byte(s))
		if err != nil || string(tree.append(nil)) != string(v.Bytes) {
			t.Fatalf("the tree of %s is %s, %v; not %s", s, tree.append(nil), err, v.Bytes)
		}
		out := []byte{'['}
		if EachJSONItem(v.Bytes, func(item []byte) {
			if len(out) > 1 {
				out = append(out, ", "...)
			}
			out = append(out, item...)
		}) && string(out)+"]" != string(v.Bytes) {
			t.Fatalf("the items of %s are %s", v.Bytes, out)
		}
	})
}

// A long text of many values is read no longer than its statement lasts.
func TestReadingEndsWithTheStatement(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for oid, s := range map[OID]string{JSONB: `[1]`, TextArray: `{a}`} {
		if _, err := ParseText(oid, []byte(s), &Style{Ctx: ctx}); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", s, err)
		}
	}
}
