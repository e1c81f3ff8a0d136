package copyio

import "bytes"

// splitText takes a line of the text format apart.
func (r *Reader) splitText() error {
	rest := r.current
	for {
		start := len(r.scratch)
		field, isEscaped, isLast := rest, false, true
		for i := 0; i < len(rest); i++ {
			if rest[i] == '\\' {
				isEscaped = true
				i++
			} else if rest[i] == r.options.Delimiter {
				field, rest, isLast = rest[:i], rest[i+1:], false
				break
			}
		}
		switch {
		case string(field) == r.options.Null: // as it came, before escapes are resolved
			r.bounds = append(r.bounds, fieldBounds{isNull: true})
		case isEscaped:
			if r.unescape(field) {
				if err := checkUTF8(r.scratch[start:]); err != nil {
					return err
				}
			}
			r.bounds = append(r.bounds, fieldBounds{start: start, end: len(r.scratch)})
		default:
			r.scratch = append(r.scratch, field...)
			r.bounds = append(r.bounds, fieldBounds{start: start, end: len(r.scratch)})
		}
		if isLast {
			return nil
		}
	}
}

// unescape appends a field to scratch and reports whether it has bytes given by number.
func (r *Reader) unescape(field []byte) (byNumber bool) {
	for i := 0; i < len(field); i++ {
		c := field[i]
		if c != '\\' || i+1 >= len(field) {
			r.scratch = append(r.scratch, c)
			continue
		}
		i++
		switch c = field[i]; {
		case c >= '0' && c <= '7':
			n := int(c - '0')
			for k := 0; k < 2 && i+1 < len(field) && field[i+1] >= '0' && field[i+1] <= '7'; k++ {
				i++
				n = n<<3 | int(field[i]-'0')
			}
			c, byNumber = byte(n), true
		case c == 'x':
			n, size := hexPrefix(field[i+1:])
			if size > 0 {
				c, byNumber = byte(n), true
				i += size
			}
		default:
			if at := bytes.IndexByte([]byte("bfnrtv"), c); at >= 0 {
				c = "\b\f\n\r\t\v"[at]
			}
		}
		r.scratch = append(r.scratch, c)
	}
	return byNumber
}

// hexPrefix reads up to two hexadecimal digits.
func hexPrefix(s []byte) (n, size int) {
	for size < 2 && size < len(s) {
		c := s[size] | 0x20
		switch {
		case s[size] >= '0' && s[size] <= '9':
			n = n<<4 | int(s[size]-'0')
		case c >= 'a' && c <= 'f':
			n = n<<4 | int(c-'a'+10)
		default:
			return n, size
		}
		size++
	}
	return n, size
}

// splitCSV takes a line of the csv format apart.
func (r *Reader) splitCSV() error {
	o := &r.options
	rest := r.current
	for {
		start, wasQuoted, inQuotes, isLast := len(r.scratch), false, false, true
		i := 0
		for ; i < len(rest); i++ {
			c := rest[i]
			switch {
			case !inQuotes && c == o.Delimiter:
				isLast = false
			case !inQuotes && c == o.Quote:
				inQuotes, wasQuoted = true, true
				continue
			case inQuotes && c == o.Escape && i+1 < len(rest) && (rest[i+1] == o.Quote || rest[i+1] == o.Escape):
				i++
				r.scratch = append(r.scratch, rest[i])
				continue
			case inQuotes && c == o.Quote:
				inQuotes = false
				continue
			default:
				r.scratch = append(r.scratch, c)
				continue
			}
			break
		}
		if inQuotes {
			return badFile("unterminated CSV quoted field")
		}
		column := len(r.bounds)
		isNull := string(r.scratch[start:]) == o.Null
		if wasQuoted {
			isNull = isNull && flag(o.ForceNull, column)
		} else {
			isNull = isNull && !flag(o.ForceNotNull, column)
		}
		r.bounds = append(r.bounds, fieldBounds{start, len(r.scratch), isNull})
		if isLast {
			return nil
		}
		rest = rest[i+1:]
	}
}
