package copyio

import (
	"strings"

	"pgcache/pgwire"
)

// Format is one of COPY's formats.
type Format uint8

const (
	Text Format = iota
	CSV
	Binary
)

// Header says what the first line is.
type Header uint8

const (
	HeaderNone  Header = iota
	HeaderNames        // written; skipped when read
	HeaderMatch        // must be the columns' names
)

// Options are those of COPY ... WITH (...). Columns are by position in the list.
type Options struct {
	Format    Format
	Delimiter byte
	Null      string
	Header    Header
	Quote     byte
	Escape    byte
	// Of columns: always quoted when written; never NULL, and NULL even if quoted, when read.
	ForceQuote, ForceNotNull, ForceNull []bool
}

// Defaults fills in what was not given.
func (o *Options) Defaults(hasDelimiter, hasNull, hasQuote, hasEscape bool) {
	if !hasDelimiter {
		o.Delimiter = '\t'
		if o.Format == CSV {
			o.Delimiter = ','
		}
	}
	if !hasNull && o.Format == Text {
		o.Null = `\N`
	}
	if !hasQuote {
		o.Quote = '"'
	}
	if !hasEscape {
		o.Escape = o.Quote
	}
}

func invalid(format string, args ...any) error {
	return pgwire.Errorf(pgwire.CodeInvalidParameterValue, format, args...)
}

// Check refuses options that contradict each other. Its rules and words are PostgreSQL's.
func (o *Options) Check() error {
	switch {
	case o.Format == Binary:
		return nil
	case o.Delimiter == '\r' || o.Delimiter == '\n':
		return invalid("COPY delimiter cannot be newline or carriage return")
	case strings.ContainsAny(o.Null, "\r\n"):
		return invalid("COPY null representation cannot use newline or carriage return")
	case o.Format == Text && strings.IndexByte(`\.abcdefghijklmnopqrstuvwxyz0123456789`, o.Delimiter) >= 0:
		return invalid("COPY delimiter cannot be \"%c\"", o.Delimiter)
	case strings.IndexByte(o.Null, o.Delimiter) >= 0:
		return invalid("COPY delimiter character must not appear in the NULL specification")
	case o.Format == CSV && o.Delimiter == o.Quote:
		return invalid("COPY delimiter and quote must be different")
	case o.Format == CSV && strings.IndexByte(o.Null, o.Quote) >= 0:
		return invalid("CSV quote character must not appear in the NULL specification")
	}
	return nil
}

func flag(list []bool, i int) bool { return i < len(list) && list[i] }

func badFile(format string, args ...any) error {
	return pgwire.Errorf(pgwire.CodeBadCopyFileFormat, format, args...)
}
