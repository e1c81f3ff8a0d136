package types

import (
	"bufio"
	"bytes"
	"encoding/hex"
	"errors"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgcache/pgwire"
)

// known are cases in which we differ from PostgreSQL, with the reason.
var known = map[string]string{
	"timestamptz 25:00":           "a time without a date is not read",
	"interval 999999999999 years": "PostgreSQL tells fields out of range from sums, by 22015 and 22008",
}

// TestAsPostgres compares text and binary forms with what PostgreSQL made of the same text.
func TestAsPostgres(t *testing.T) {
	file, err := os.Open("testdata/postgres.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	cases := 0
	for lines := bufio.NewScanner(file); lines.Scan(); {
		if strings.HasPrefix(lines.Text(), "#") {
			continue
		}
		var fields []string
		for _, f := range strings.Split(lines.Text(), "\t") {
			s, err := strconv.Unquote(f)
			if err != nil {
				t.Fatalf("%s: %v", lines.Text(), err)
			}
			fields = append(fields, s)
		}
		cases++
		checkCase(t, fields[0], fields[1], fields[2], fields[3])
	}
	if cases < 100 {
		t.Errorf("only %d cases", cases)
	}
}

func checkCase(t *testing.T, name, input, output, binary string) {
	t.Helper()
	oid := ByName(name)
	if oid == 0 {
		t.Fatalf("no type %s", name)
	}
	v, err := ParseText(oid, []byte(input), nil)
	if code, isError := strings.CutPrefix(output, "ERROR "); isError {
		var e *pgwire.Error
		if known[name+" "+input] == "" && (!errors.As(err, &e) || string(e.Code) != code) {
			t.Errorf("%s %q: error %v, PostgreSQL has %s", name, input, err, code)
		}
		return
	}
	if err != nil {
		t.Errorf("%s %q: %v", name, input, err)
		return
	}
	if got := string(AppendText(nil, oid, v, nil)); got != output {
		t.Errorf("%s %q = %q, PostgreSQL has %q", name, input, got, output)
	}
	encoded := AppendBinary(nil, oid, v)
	if got := hex.EncodeToString(encoded); got != binary {
		t.Errorf("%s %q in binary = %s, PostgreSQL has %s", name, input, got, binary)
	}
	again, err := ParseBinary(oid, encoded)
	if err != nil {
		t.Errorf("%s %q from binary: %v", name, input, err)
		return
	}
	if got := string(AppendText(nil, oid, again, nil)); got != output {
		t.Errorf("%s %q through binary = %q, want %q", name, input, got, output)
	}
}

func TestBinaryRefusesOtherLengths(t *testing.T) {
	for _, oid := range []OID{Bool, Int2, Int4, Int8, Oid, Float4, Float8, Timestamp, TimestampTZ, Interval, UUID, Numeric, TextArray, JSONB} {
		var e *pgwire.Error
		if _, err := ParseBinary(oid, make([]byte, 3)); !errors.As(err, &e) {
			t.Errorf("%s of 3 bytes: %v", oid, err)
		}
	}
}

func TestZones(t *testing.T) {
	berlin, err := LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	style := &Style{Location: berlin, Now: time.Date(2026, 3, 29, 12, 0, 0, 0, time.UTC)}
	for input, want := range map[string]string{
		"2026-01-01 12:00":    "2026-01-01 12:00:00+01",
		"2026-07-01 12:00":    "2026-07-01 12:00:00+02",
		"2026-07-01 12:00Z":   "2026-07-01 14:00:00+02",
		"2026-03-29 02:30":    "2026-03-29 03:30:00+02", // does not exist
		"now":                 "2026-03-29 14:00:00+02",
		"today":               "2026-03-29 00:00:00+01",
		"tomorrow":            "2026-03-30 00:00:00+02",
		"1900-01-01 00:00:00": "1900-01-01 00:00:00+01",
	} {
		v, err := ParseText(TimestampTZ, []byte(input), style)
		if got := string(AppendText(nil, TimestampTZ, v, style)); err != nil || got != want {
			t.Errorf("%s = %s, %v; want %s", input, got, err, want)
		}
	}
	day := Value{Days: 1}
	before, _ := ParseText(TimestampTZ, []byte("2026-03-28 12:00"), style)
	after, err := AddInterval(before, day, 1, berlin)
	if got := string(AppendText(nil, TimestampTZ, after, style)); err != nil || got != "2026-03-29 12:00:00+02" {
		t.Errorf("a day over the change of summer time: %s, %v", got, err)
	}
}

func TestByteaEscape(t *testing.T) {
	if got := string(AppendText(nil, Bytea, OfBytes([]byte("a\x00\\\xff")), &Style{ByteaEscape: true})); got != `a\000\\\377` {
		t.Error(got)
	}
}

func TestCasts(t *testing.T) {
	for _, test := range []struct {
		from     OID
		in       string
		to       OID
		want     string
		wantCode pgwire.Code
	}{
		{Int4, "5", Int8, "5", ""},
		{Int8, "70000", Int2, "", pgwire.CodeNumericValueOutOfRange},
		{Numeric, "2.5", Int4, "3", ""},
		{Numeric, "-2.5", Int4, "-3", ""},
		{Float8, "2.5", Int4, "2", ""},
		{Float8, "NaN", Int4, "", pgwire.CodeNumericValueOutOfRange},
		{Float8, "0.1", Numeric, "0.1", ""},
		{Float8, "1e300", Float4, "", pgwire.CodeNumericValueOutOfRange},
		{Numeric, "1e-5", Float8, "1e-05", ""},
		{Bool, "t", Text, "true", ""},
		{Text, "12", Int4, "12", ""},
		{Text, "x", Int4, "", pgwire.CodeInvalidTextRepresentation},
		{TextArray, "{1,NULL}", Int8Array, "{1,NULL}", ""},
		{JSON, `{"b":1,"a":2}`, JSONB, `{"a": 2, "b": 1}`, ""},
		{Bytea, `\x41`, Text, `\x41`, ""},
		{Text, `\x41`, Bytea, `\x41`, ""},
		{Text, strings.Repeat("é", 40), Name, strings.Repeat("é", 31), ""},
		{BPChar, "a  ", Text, "a", ""},
	} {
		v, err := ParseText(test.from, []byte(test.in), nil)
		if err != nil {
			t.Fatal(err)
		}
		v, err = Cast(v, test.from, test.to, nil)
		var e *pgwire.Error
		if errors.As(err, &e) && e.Code == test.wantCode {
			continue
		}
		if got := string(AppendText(nil, test.to, v, nil)); err != nil || got != test.want || test.wantCode != "" {
			t.Errorf("%s %q to %s = %q, %v; want %q %s", test.from, test.in, test.to, got, err, test.want, test.wantCode)
		}
	}
}

func TestEveryTypeIsComplete(t *testing.T) {
	for oid := OID(1); oid < 6000; oid++ {
		d := Lookup(oid)
		if d == nil {
			continue
		}
		if ByName(d.Internal) != oid || oid.String() != d.Name {
			t.Errorf("type %d is not found by its name %s", oid, d.Internal)
		}
		if d.Array != 0 && Lookup(d.Array).Elem != oid {
			t.Errorf("the array of %s is not one of %s", d.Name, d.Name)
		}
		if oid.IsReg() || oid == Record {
			continue // names need a catalog, and records have no input
		}
		if _, err := ParseText(oid, nil, nil); errorCode(err) == pgwire.CodeFeatureNotSupported {
			t.Errorf("%s has no text input", d.Name)
		}
		if _, err := ParseBinary(oid, nil); errorCode(err) == pgwire.CodeFeatureNotSupported {
			t.Errorf("%s has no binary input", d.Name)
		}
	}
}

func errorCode(err error) pgwire.Code {
	var e *pgwire.Error
	errors.As(err, &e)
	if e == nil {
		return ""
	}
	return e.Code
}

// fuzzed are the types that the fuzz targets choose from.
var fuzzed = []OID{Bool, Bytea, Char, Int2, Int4, Int8, Oid, Float4, Float8, Numeric, Text, Name, Timestamp, TimestampTZ, Interval,
	JSON, JSONB, UUID, TextArray, Int8Array, ByteaArray, NumericArray, TimestampTZArray, IntervalArray, JSONBArray,
	Date, Time, TimeTZ, Inet, Cidr, Bit, VarBit, Int2Vector, OidVector, Tid, Xid8, PgLSN, Int4Range, NumRange, DateRange, TsTzRange,
	Int8Range, CharArray, DateArray, 3905}

// FuzzText: what is accepted comes out as a text and a binary that read back as the same.
func FuzzText(f *testing.F) {
	for i := range fuzzed {
		for _, s := range []string{"1", "{a,NULL}", "1 day", "2026-01-01", `{"a": 1}`, `\x00`, "1e5", "-0.0", "infinity",
			"12:30+02", "10.0.0.0/8", "[1,5)", "1 2", "(0,1)", "[0:1]={{1},{2}}", "{{1,2},{3,4}}", "Jan 2, 2026 3:04 PM"} {
			f.Add(byte(i), s)
		}
	}
	f.Fuzz(func(t *testing.T, which byte, s string) {
		oid := fuzzed[int(which)%len(fuzzed)]
		v, err := ParseText(oid, []byte(s), nil)
		if err != nil {
			if errorCode(err) == "" {
				t.Fatalf("%s %q: %v", oid, s, err)
			}
			return
		}
		checkRoundTrip(t, oid, v, CheckUTF8([]byte(s)) == nil)
	})
}

func checkRoundTrip(t *testing.T, oid OID, v Value, isUTF8 bool) {
	t.Helper()
	text := AppendText(nil, oid, v, nil)
	again, err := ParseText(oid, text, nil)
	if err != nil || !bytes.Equal(AppendText(nil, oid, again, nil), text) {
		t.Errorf("%s %q comes back as %q, %v", oid, text, AppendText(nil, oid, again, nil), err)
	}
	if !isUTF8 {
		return
	}
	binary := AppendBinary(nil, oid, v)
	again, err = ParseBinary(oid, binary)
	if err != nil || !bytes.Equal(AppendBinary(nil, oid, again), binary) {
		t.Errorf("%s %q: binary %x comes back as %x, %v", oid, text, binary, AppendBinary(nil, oid, again), err)
	}
	if Compare(oid, v, again) != 0 && oid != JSON {
		t.Errorf("%s %q is not equal to itself", oid, text)
	}
}

// FuzzBinary: binary forms are accepted or refused, and what is accepted reads back.
func FuzzBinary(f *testing.F) {
	for i, oid := range fuzzed {
		f.Add(byte(i), []byte{0, 0, 0, 1})
		if v, err := ParseText(oid, []byte("1"), nil); err == nil {
			f.Add(byte(i), AppendBinary(nil, oid, v))
		}
	}
	f.Add(byte(18), AppendBinary(nil, TextArray, OfTexts([]string{"a", "b"})))
	f.Fuzz(func(t *testing.T, which byte, data []byte) {
		oid := fuzzed[int(which)%len(fuzzed)]
		v, err := ParseBinary(oid, data)
		if err != nil {
			if errorCode(err) == "" {
				t.Fatalf("%s %x: %v", oid, data, err)
			}
			return
		}
		binary := AppendBinary(nil, oid, v)
		again, err := ParseBinary(oid, binary)
		if err != nil || !bytes.Equal(AppendBinary(nil, oid, again), binary) {
			t.Errorf("%s %x comes back as %x, %v", oid, data, AppendBinary(nil, oid, again), err)
		}
		AppendText(nil, oid, v, nil)
	})
}
