package library

import (
	"bytes"
	"strings"
	"testing"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

func TestNumberFormatIsBounded(t *testing.T) {
	one, err := types.ParseText(types.Numeric, []byte("1"), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := formatNumber(one, strings.Repeat("9", pictureBytesMax)); err != nil {
		t.Error(err)
	}
	if _, err := formatNumber(one, strings.Repeat("9", pictureBytesMax+1)); err == nil {
		t.Error("a format above the limit is read")
	}
}

func TestSplitIsBounded(t *testing.T) {
	many := types.OfBytes(bytes.Repeat([]byte("a "), splitPartsMax))
	if _, err := regexpSplit(&schema.Call{}, []value{many, types.OfBytes([]byte(" "))}); err == nil {
		t.Error("a text of more pieces than the limit is split")
	}
}
