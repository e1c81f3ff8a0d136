package library

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"pgcache/sqlmap/are"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

func TestNumberFormatIsBounded(t *testing.T) {
	if _, err := parsePicture(strings.Repeat("9", pictureBytesMax)); err != nil {
		t.Error(err)
	}
	if _, err := parsePicture(strings.Repeat("9", pictureBytesMax+1)); err == nil {
		t.Error("a format above the limit is read")
	}
}

func TestSplitIsBounded(t *testing.T) {
	many := types.OfBytes(bytes.Repeat([]byte("a "), are.MatchesMax+1))
	if _, err := regexpSplit(&schema.Call{Env: &schema.Env{Ctx: context.Background()}, Function: &schema.Function{}}, []value{many, types.OfBytes([]byte(" "))}); err == nil {
		t.Error("a text of more pieces than the limit is split")
	}
}
