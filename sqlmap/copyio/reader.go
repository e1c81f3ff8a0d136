package copyio

import (
	"bytes"
	"io"
	"slices"
	"unicode/utf8"

	"pgcache/pgwire"
)

// Reader reads rows.
type Reader struct {
	options Options
	names   []string // of the columns
	source  func() ([]byte, error)
	rowMax  int

	buffer  []byte // buffer[at:] is what has arrived and is not read yet
	at      int
	isEnded bool // the source has no more
	isDone  bool

	line    int
	current []byte // the line being read
	ending  string // of lines: "\n", "\r" or "\r\n"; empty: not known yet
	fields  [][]byte
	scratch []byte // of de-escaped fields
	bounds  []fieldBounds
}

// fieldBounds is a field in scratch, or NULL.
type fieldBounds struct {
	start, end int
	isNull     bool
}

// NewReader reads rows of columns with these names. source returns the next piece of the
// data and at last io.EOF. A row longer than rowBytesMax is refused.
func NewReader(o Options, names []string, source func() ([]byte, error), rowBytesMax int) *Reader {
	return &Reader{options: o, names: names, source: source, rowMax: rowBytesMax, scratch: []byte{}}
}

// Line is the number of the row or line that was read last, from 1. A header is a line.
func (r *Reader) Line() int { return r.line }

// Current is the line that was read last, as it came; nil in binary.
func (r *Reader) Current() []byte { return r.current }

// Next returns the fields of the next row; nil is NULL. They are valid until the next
// call. At the end it returns io.EOF.
func (r *Reader) Next() ([][]byte, error) {
	if r.isDone {
		return nil, io.EOF
	}
	var err error
	if r.options.Format == Binary {
		err = r.nextBinary()
	} else {
		err = r.nextLine()
	}
	if err == io.EOF {
		r.isDone = true
	}
	return r.fields, err
}

// more reads one more piece; false at the end. Nothing of what is in buffer[at:] is lost.
func (r *Reader) more() (bool, error) {
	if r.isEnded {
		return false, nil
	}
	if len(r.buffer)-r.at > r.rowMax {
		return false, r.tooLong()
	}
	data, err := r.source()
	if err == io.EOF {
		r.isEnded = true
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if r.at > 0 {
		r.buffer = r.buffer[:copy(r.buffer, r.buffer[r.at:])]
		r.at = 0
	}
	const keptBytesMax = 1 << 20 // after a long row
	if cap(r.buffer) > keptBytesMax && len(r.buffer)+len(data) < keptBytesMax/4 {
		r.buffer = slices.Clone(r.buffer)
	}
	r.buffer = append(r.buffer, data...)
	return true, nil
}

func (r *Reader) tooLong() error {
	e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "row is too long")
	e.Hint = "Load values this long by INSERT with a parameter."
	return e
}

// nextLine reads the fields of a line of text or csv.
func (r *Reader) nextLine() error {
	if r.line == 0 && r.options.Header != HeaderNone {
		if err := r.header(); err != nil {
			return err
		}
	}
	if err := r.readLine(); err != nil {
		return err
	}
	if err := r.split(); err != nil {
		return err
	}
	switch n := len(r.fields); {
	case n < len(r.names):
		return badFile("missing data for column \"%s\"", r.names[n])
	case n > len(r.names):
		return badFile("extra data after last expected column")
	}
	return nil
}

// header reads the first line.
func (r *Reader) header() error {
	if err := r.readLine(); err != nil || r.options.Header != HeaderMatch {
		return err
	}
	if err := r.split(); err != nil {
		return err
	}
	if len(r.fields) != len(r.names) {
		return badFile("wrong number of fields in header line: got %d, expected %d", len(r.fields), len(r.names))
	}
	for i, name := range r.names {
		switch {
		case r.fields[i] == nil:
			return badFile("column name mismatch in header line field %d: got null value (\"%s\"), expected \"%s\"", i+1, r.options.Null, name)
		case string(r.fields[i]) != name:
			return badFile("column name mismatch in header line field %d: got \"%s\", expected \"%s\"", i+1, r.fields[i], name)
		}
	}
	return nil
}

// scanner is the state of the search for the end of a line.
type scanner struct {
	quote, escape      byte
	hasEscape          bool // one that is not the quote
	inQuotes, isEscape bool // isEscape: the last byte was an escape in quotes
}

// step takes in a byte of csv.
func (s *scanner) step(c byte) {
	if s.hasEscape && s.inQuotes && c == s.escape {
		s.isEscape = !s.isEscape
	}
	if c == s.quote && !s.isEscape {
		s.inQuotes = !s.inQuotes
	}
	if !s.hasEscape || c != s.escape {
		s.isEscape = false
	}
}

// readLine finds the next line; io.EOF at the end or at the end mark.
func (r *Reader) readLine() error {
	r.line++
	isCSV := r.options.Format == CSV
	s := scanner{quote: r.options.Quote, escape: r.options.Escape, hasEscape: r.options.Escape != r.options.Quote}
	for offset := 0; ; offset++ {
		for r.at+offset >= len(r.buffer) {
			if ok, err := r.more(); err != nil {
				return err
			} else if !ok {
				return r.lastLine(s.inQuotes)
			}
		}
		c := r.buffer[r.at+offset]
		switch {
		case (c == '\n' || c == '\r') && !s.inQuotes:
			if c == '\r' && r.at+offset+1 >= len(r.buffer) { // the next byte may belong to it
				if _, err := r.more(); err != nil {
					return err
				}
			}
			size, err := r.endOfLine(r.at + offset)
			if err != nil {
				return err
			}
			return r.takeLine(r.at+offset, size)
		case isCSV:
			s.step(c)
			if c == '\n' {
				r.line++ // in quotes
			}
		case c == '\\':
			offset++ // whatever follows, it does not end the line
		}
	}
}

// endOfLine measures the line ending at i. All lines must end alike.
func (r *Reader) endOfLine(i int) (int, error) {
	ending := "\n"
	if r.buffer[i] == '\r' {
		ending = "\r"
		if i+1 < len(r.buffer) && r.buffer[i+1] == '\n' && r.ending != "\r" {
			ending = "\r\n"
		}
	}
	if r.ending == "" {
		r.ending = ending
	}
	if ending == r.ending {
		return len(ending), nil
	}
	what, hint := "newline", "\"\\n\""
	if ending[0] == '\r' {
		what, hint = "carriage return", "\"\\r\""
	}
	if r.options.Format == CSV {
		e := pgwire.Errorf(pgwire.CodeBadCopyFileFormat, "unquoted %s found in data", what)
		e.Hint = "Use quoted CSV field to represent " + what + "."
		return 0, e
	}
	e := pgwire.Errorf(pgwire.CodeBadCopyFileFormat, "literal %s found in data", what)
	e.Hint = "Use " + hint + " to represent " + what + "."
	return 0, e
}

// takeLine makes buffer[at:end] the current line.
func (r *Reader) takeLine(end, endingSize int) error {
	r.current = r.buffer[r.at:end]
	r.at = end + endingSize
	if string(r.current) == `\.` {
		return io.EOF
	}
	return r.checkLine()
}

// lastLine makes a line of what comes after the last line ending.
func (r *Reader) lastLine(inQuotes bool) error {
	if inQuotes {
		r.current, r.at = r.buffer[r.at:], len(r.buffer)
		return badFile("unterminated CSV quoted field")
	}
	if r.at == len(r.buffer) {
		return io.EOF
	}
	return r.takeLine(len(r.buffer), 0)
}

// checkLine refuses a line that is too long or not UTF-8.
func (r *Reader) checkLine() error {
	if len(r.current) > r.rowMax {
		return r.tooLong()
	}
	return checkUTF8(r.current)
}

func checkUTF8(s []byte) error {
	if utf8.Valid(s) && bytes.IndexByte(s, 0) < 0 {
		return nil
	}
	for i, c := range string(s) {
		if c == 0 || c == utf8.RuneError {
			if _, size := utf8.DecodeRune(s[i:]); c == 0 || size <= 1 {
				return pgwire.Errorf(pgwire.CodeCharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\": %#02x", s[i])
			}
		}
	}
	return nil
}

// split takes the current line apart.
func (r *Reader) split() error {
	r.scratch, r.bounds = r.scratch[:0], r.bounds[:0]
	var err error
	if r.options.Format == CSV {
		err = r.splitCSV()
	} else {
		err = r.splitText()
	}
	if err != nil {
		return err
	}
	r.fields = r.fields[:0]
	for _, b := range r.bounds {
		if b.isNull {
			r.fields = append(r.fields, nil)
			continue
		}
		r.fields = append(r.fields, r.scratch[b.start:b.end:b.end])
	}
	return nil
}
