package copyio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"pgcache/pgwire"
)

// pieces is a source that hands out n bytes at a time.
func pieces(data []byte, n int) func() ([]byte, error) {
	return func() ([]byte, error) {
		if len(data) == 0 {
			return nil, io.EOF
		}
		piece := data[:min(n, len(data))]
		data = data[len(piece):]
		return bytes.Clone(piece), nil
	}
}

// read shows the rows of data, NULL as ∅, and how it ended.
func read(o Options, columns int, data string, n int) string {
	names := make([]string, columns)
	for i := range names {
		names[i] = fmt.Sprint("c", i+1)
	}
	r := NewReader(o, names, pieces([]byte(data), n), 1<<16)
	var out []string
	for {
		fields, err := r.Next()
		if err == io.EOF {
			return strings.Join(out, " ")
		}
		var e *pgwire.Error
		if errors.As(err, &e) {
			return strings.Join(append(out, fmt.Sprintf("%s: %s (line %d)", e.Code, e.Message, r.Line())), " ")
		}
		var shown []string
		for _, f := range fields {
			if f == nil {
				shown = append(shown, "∅")
			} else {
				shown = append(shown, fmt.Sprintf("%q", f))
			}
		}
		out = append(out, "["+strings.Join(shown, " ")+"]")
	}
}

func options(f Format, change ...func(*Options)) Options {
	o := Options{Format: f}
	o.Defaults(false, false, false, false)
	for _, c := range change {
		c(&o)
	}
	return o
}

func TestReader(t *testing.T) {
	text, csv := options(Text), options(CSV)
	withHeader := func(o *Options) { o.Header = HeaderNames }
	matching := func(o *Options) { o.Header = HeaderMatch }
	for _, x := range []struct {
		options Options
		columns int
		data    string
		want    string
	}{
		{text, 2, "a\tb\nc\td\n", `["a" "b"] ["c" "d"]`},
		{text, 2, "a\tb\nc\td", `["a" "b"] ["c" "d"]`},
		{text, 2, "a\tb\r\nc\td\r\n", `["a" "b"] ["c" "d"]`},
		{text, 2, "a\tb\rc\td\r", `["a" "b"] ["c" "d"]`},
		{text, 2, "a\tb\nc\td\r\n", `["a" "b"] 22P04: literal carriage return found in data (line 2)`},
		{text, 1, "a\r\nb\nc", `["a"] 22P04: literal newline found in data (line 2)`},
		{text, 2, "\\N\t\\\\N\n\t\n", `[∅ "\\N"] ["" ""]`},
		{text, 1, `\b\f\n\r\t\v\\\q\x41\x4g\101\60a` + "\n", `["\b\f\n\r\t\v\\qA\x04gA0a"]`},
		{text, 1, "a\\\nb\n", `["a\nb"]`},
		{text, 2, "a\\\tb\tc\n", `["a\tb" "c"]`},
		{text, 1, "a\n\\.\nb\n", `["a"]`},
		{text, 2, "a\n", `22P04: missing data for column "c2" (line 1)`},
		{text, 1, "a\nb\tc\n", `["a"] 22P04: extra data after last expected column (line 2)`},
		{text, 1, "a\n\xff\n", `["a"] 22021: invalid byte sequence for encoding "UTF8": 0xff (line 2)`},
		{text, 1, `a\xff` + "\n", `22021: invalid byte sequence for encoding "UTF8": 0xff (line 1)`},
		{text, 1, strings.Repeat("x", 70000), `54000: row is too long (line 1)`},
		{options(Text, withHeader), 1, "name\na\n", `["a"]`},
		{options(Text, func(o *Options) { o.Delimiter, o.Null = '|', "nil" }), 2, "a|nil\nni\\l|\\|\n", `["a" ∅] ["nil" "|"]`},
		{csv, 3, "a,\"b,c\",\"d\"\"e\"\n", `["a" "b,c" "d\"e"]`},
		{csv, 2, ",\"\"\n", `[∅ ""]`},
		{csv, 2, "\"a\nb\",c\nd,e\n", `["a\nb" "c"] ["d" "e"]`},
		{csv, 2, "a,b\nc", `["a" "b"] 22P04: missing data for column "c2" (line 2)`},
		{csv, 1, "\"a\n", `22P04: unterminated CSV quoted field (line 2)`},
		{csv, 1, "a\r\nb\nc", `["a"] 22P04: unquoted newline found in data (line 2)`},
		{csv, 1, "a\n\\.\nb\n", `["a"]`},
		{options(CSV, matching), 2, "c1,c2\na,b\n", `["a" "b"]`},
		{options(CSV, matching), 2, "c1,x\na,b\n", `22P04: column name mismatch in header line field 2: got "x", expected "c2" (line 1)`},
		{options(CSV, matching), 2, "c1\n", `22P04: wrong number of fields in header line: got 1, expected 2 (line 1)`},
		{options(CSV, func(o *Options) { o.Quote, o.Escape = '\'', '\\' }), 2, `'a\'b\\','c\d'` + "\n", `["a'b\\" "c\\d"]`},
		{options(CSV, func(o *Options) { o.Null, o.ForceNull, o.ForceNotNull = "n", []bool{true, false}, []bool{false, true} }), 2, "\"n\",n\n", `[∅ "n"]`},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			if got := read(x.options, x.columns, x.data, n); got != x.want {
				t.Errorf("%.40q by %d: %s\nwant %s", x.data, n, got, x.want)
			}
		}
	}
}

func TestReaderBinary(t *testing.T) {
	o := options(Binary)
	file := func(rest string) string { return string(o.AppendHeader(nil, nil)) + rest }
	for _, x := range []struct{ data, want string }{
		{file("\x00\x02\x00\x00\x00\x01a\xff\xff\xff\xff\xff\xff"), `["a" ∅]`},
		{file("\x00\x02\x00\x00\x00\x01a\xff\xff\xff\xff"), `["a" ∅]`},
		{file("\xff\xff"), ``},
		{signature + "\x00\x00\x00\x00\x00\x00\x00\x02xx\xff\xff", ``},
		{"PGCOPX\n\xff\r\n\x00", `22P04: COPY file signature not recognized (line 0)`},
		{"", `22P04: COPY file signature not recognized (line 0)`},
		{signature, `22P04: invalid COPY file header (missing flags) (line 0)`},
		{signature + "\x00\x01\x00\x00", `22P04: invalid COPY file header (WITH OIDS) (line 0)`},
		{signature + "\x80\x00\x00\x00", `22P04: unrecognized critical flags in COPY file header (line 0)`},
		{file("\x00\x03"), `22P04: row field count is 3, expected 2 (line 1)`},
		{file("\x00\x02\x00\x00\x00\x05a"), `22P04: unexpected EOF in COPY data (line 1)`},
		{file("\x00\x02\xff\xff\xff\xfe"), `22P04: invalid field size (line 1)`},
		{file("\x00\x02\x7f\xff\xff\xff"), `54000: row is too long (line 1)`},
		{file("\xff\xffx"), `22P04: received copy data after EOF marker (line 1)`},
	} {
		for _, n := range []int{1, 3, 1 << 20} {
			if got := read(o, 2, x.data, n); got != x.want {
				t.Errorf("%q by %d: %s\nwant %s", x.data, n, got, x.want)
			}
		}
	}
}

func TestOptionsCheck(t *testing.T) {
	for _, o := range []Options{
		options(Text, func(o *Options) { o.Delimiter = 'a' }), options(CSV, func(o *Options) { o.Delimiter = '"' }),
		options(CSV, func(o *Options) { o.Null = "x\n" }), options(CSV, func(o *Options) { o.Null = "," }),
		options(CSV, func(o *Options) { o.Null = "\"" }), options(Text, func(o *Options) { o.Delimiter = '\n' }),
	} {
		if o.Check() == nil {
			t.Errorf("%+v is accepted", o)
		}
	}
	if err := errors.Join(options2(Text).Check(), options2(CSV).Check()); err != nil {
		t.Error(err)
	}
}

func options2(f Format) *Options { o := options(f); return &o }

// FuzzReader: no data makes a reader panic, hold more than its limit or go on for ever; and
// what it read is read back from what a writer makes of it.
func FuzzReader(f *testing.F) {
	for _, data := range []string{"a\tb\n\\N\t\\x41\n\\.\n", "a,\"b\n\"\"c\"\r\n", signature + "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x01a\xff\xff\xff\xff\xff\xff"} {
		for format := range byte(3) {
			f.Add(format, byte(2), byte(1), byte('|'), byte('\''), byte('\\'), []byte(data))
		}
	}
	f.Fuzz(func(t *testing.T, format, columns, piece, delimiter, quote, escape byte, data []byte) {
		o := Options{Format: Format(format % 3), Header: Header(format / 3 % 2), Delimiter: delimiter, Quote: quote, Escape: escape, Null: `\N`}
		if o.Format == CSV {
			o.Null = ""
		}
		if o.Check() != nil || o.Format != Binary && (delimiter == 0 || delimiter >= 0x80 || quote == 0 || quote >= 0x80 || escape == 0 || escape >= 0x80) ||
			strings.IndexByte("\r\n", quote) >= 0 || strings.IndexByte("\r\n", escape) >= 0 || escape == delimiter || o.Format == CSV && escape != quote && delimiter == '\\' {
			return
		}
		names := make([]string, columns%4+1)
		const rowMax = 1 << 12
		rows, written := collect(t, o, names, data, int(piece)+1, rowMax)
		if written == nil {
			return
		}
		again, _ := collect(t, o, names, written, 1<<20, 4*rowMax)
		if fmt.Sprintf("%q", rows) != fmt.Sprintf("%q", again) {
			t.Errorf("%q\nwas read back from %q as\n%q", rows, written, again)
		}
	})
}

// collect reads all rows and writes them out again; nil if the data is refused.
func collect(t *testing.T, o Options, names []string, data []byte, piece, rowMax int) (rows [][][]byte, written []byte) {
	r := NewReader(o, names, pieces(data, piece), rowMax)
	written = o.AppendHeader([]byte{}, names)
	for {
		fields, err := r.Next()
		if err == io.EOF {
			return rows, o.AppendTrailer(written)
		}
		if err != nil {
			var e *pgwire.Error
			if !errors.As(err, &e) {
				t.Fatal(err)
			}
			return nil, nil
		}
		if held := len(r.buffer); held > len(data)+1 || held > 2*rowMax+piece {
			t.Fatalf("holds %d bytes", held)
		}
		var row [][]byte
		for _, f := range fields {
			if f != nil {
				f = append([]byte{}, f...)
			}
			row = append(row, f)
		}
		rows = append(rows, row)
		written = o.AppendRow(written, fields)
	}
}
