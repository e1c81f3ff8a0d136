package scalar

import (
	"bytes"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"math"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// Short names for the tables below.
const (
	text    = types.Text
	bytea   = types.Bytea
	integer = types.Int4
)

// library finds the built-in functions of a name.
func library(name string) []Function {
	for _, find := range []func(string) []Function{textFunction, byteFunction, timeFunction, numberFunction, otherFunction} {
		if list := find(name); list != nil {
			return list
		}
	}
	return nil
}

// function1 makes an overload of one argument.
func function1(name string, arg, returns types.OID, f func(v types.Value) (types.Value, error)) Function {
	return Function{Name: name, Args: []types.OID{arg}, Returns: returns,
		Call: func(_ *Env, args []types.Value) (types.Value, error) { return f(args[0]) }}
}

func pure(name string, args []types.OID, returns types.OID, f func(args []types.Value) (types.Value, error)) Function {
	return Function{Name: name, Args: args, Returns: returns,
		Call: func(_ *Env, args []types.Value) (types.Value, error) { return f(args) }}
}

func textFunction(name string) []Function {
	switch name {
	case "length", "char_length", "character_length":
		list := []Function{function1(name, text, integer, func(v types.Value) (types.Value, error) {
			return types.OfInt(int64(utf8.RuneCount(v.Bytes))), nil
		})}
		if name == "length" {
			list = append(list, function1(name, bytea, integer, byteLength))
		}
		return list
	case "upper":
		return []Function{function1(name, text, text, func(v types.Value) (types.Value, error) { return types.OfBytes(bytes.ToUpper(v.Bytes)), nil })}
	case "lower":
		return []Function{function1(name, text, text, func(v types.Value) (types.Value, error) { return types.OfBytes(bytes.ToLower(v.Bytes)), nil })}
	case "substring", "substr":
		return substringFunctions(name)
	case "left", "right":
		return []Function{pure(name, []types.OID{text, integer}, text, func(args []types.Value) (types.Value, error) {
			length, n := int64(utf8.RuneCount(args[0].Bytes)), args[1].Int
			if n < 0 {
				n = max(length+n, 0)
			}
			if name == "right" {
				return substringText(args[0].Bytes, max(length-n, 0)+1, length), nil
			}
			return substringText(args[0].Bytes, 1, n), nil
		})}
	case "position", "strpos":
		return []Function{pure(name, []types.OID{text, text}, integer, func(args []types.Value) (types.Value, error) {
			at := bytes.Index(args[0].Bytes, args[1].Bytes)
			if at < 0 {
				return types.OfInt(0), nil
			}
			return types.OfInt(int64(utf8.RuneCount(args[0].Bytes[:at]) + 1)), nil
		})}
	case "btrim", "ltrim", "rtrim":
		return trimFunctions(name)
	case "replace":
		return []Function{pure(name, []types.OID{text, text, text}, text, replaceText)}
	case "concat":
		return []Function{{Name: name, Args: []types.OID{types.TextArray}, IsVariadic: true, ElementsAsText: true, Returns: text, OnNull: true,
			Call: func(_ *Env, args []types.Value) (types.Value, error) {
				var out []byte
				for _, v := range args[0].Elems {
					out = append(out, v.Bytes...)
				}
				return types.OfBytes(out), nil
			}}}
	case "starts_with":
		return []Function{pure(name, []types.OID{text, text}, types.Bool, func(args []types.Value) (types.Value, error) {
			return types.OfBool(bytes.HasPrefix(args[0].Bytes, args[1].Bytes)), nil
		})}
	}
	return nil
}

func replaceText(args []types.Value) (types.Value, error) {
	s, from, to := args[0].Bytes, args[1].Bytes, args[2].Bytes
	if len(from) == 0 {
		return args[0], nil
	}
	if n := bytes.Count(s, from); len(s)+n*(len(to)-len(from)) > resultBytesMax {
		return types.Value{}, errResultTooLong()
	}
	return types.OfBytes(bytes.ReplaceAll(s, from, to)), nil
}

func trimFunctions(name string) []Function {
	trim := bytes.Trim
	switch name {
	case "ltrim":
		trim = bytes.TrimLeft
	case "rtrim":
		trim = bytes.TrimRight
	}
	return []Function{
		function1(name, text, text, func(v types.Value) (types.Value, error) { return types.OfBytes(trim(v.Bytes, " ")), nil }),
		pure(name, []types.OID{text, text}, text, func(args []types.Value) (types.Value, error) {
			return types.OfBytes(trim(args[0].Bytes, string(args[1].Bytes))), nil
		}),
	}
}

// substringFunctions are substring(s, from[, for]) of text and bytea. The form with a
// regular expression, substring(text, text), is not among them.
func substringFunctions(name string) []Function {
	var list []Function
	for _, t := range []types.OID{text, bytea} {
		cut := func(v types.Value, from, to int64) types.Value {
			if t == text {
				return substringText(v.Bytes, from, to)
			}
			from, to = max(from, 1), min(to, int64(len(v.Bytes)))
			if from > to {
				return types.OfBytes([]byte{})
			}
			return types.OfBytes(v.Bytes[from-1 : to])
		}
		list = append(list,
			pure(name, []types.OID{t, integer}, t, func(args []types.Value) (types.Value, error) {
				return cut(args[0], args[1].Int, math.MaxInt64), nil
			}),
			pure(name, []types.OID{t, integer, integer}, t, func(args []types.Value) (types.Value, error) {
				if args[2].Int < 0 {
					return types.Value{}, pgwire.Errorf(pgwire.CodeSubstringError, "negative substring length not allowed")
				}
				return cut(args[0], args[1].Int, args[1].Int+args[2].Int-1), nil
			}))
	}
	return list
}

// substringText cuts the characters from..to, counted from 1.
func substringText(s []byte, from, to int64) types.Value {
	from = max(from, 1)
	start := len(s)
	position := int64(1)
	for i := 0; i < len(s); position++ {
		if position == from {
			start = i
		}
		if position > to {
			return types.OfBytes(s[min(start, i):i])
		}
		_, size := utf8.DecodeRune(s[i:])
		i += size
	}
	return types.OfBytes(s[start:])
}

func byteLength(v types.Value) (types.Value, error) { return types.OfInt(int64(len(v.Bytes))), nil }

func byteFunction(name string) []Function {
	switch name {
	case "octet_length":
		return []Function{function1(name, text, integer, byteLength), function1(name, bytea, integer, byteLength)}
	case "md5":
		sum := func(v types.Value) (types.Value, error) {
			digest := md5.Sum(v.Bytes)
			return types.OfText(hex.EncodeToString(digest[:])), nil
		}
		return []Function{function1(name, text, text, sum), function1(name, bytea, text, sum)}
	case "sha256":
		return []Function{function1(name, bytea, bytea, func(v types.Value) (types.Value, error) {
			digest := sha256.Sum256(v.Bytes)
			return types.OfBytes(digest[:]), nil
		})}
	case "encode":
		return []Function{pure(name, []types.OID{bytea, text}, text, Encode)}
	case "decode":
		return []Function{pure(name, []types.OID{text, text}, bytea, Decode)}
	case "convert_to":
		return []Function{pure(name, []types.OID{text, text}, bytea, func(args []types.Value) (types.Value, error) {
			return args[0], CheckEncoding(args[1])
		})}
	case "convert_from":
		return []Function{pure(name, []types.OID{bytea, text}, text, func(args []types.Value) (types.Value, error) {
			if err := CheckEncoding(args[1]); err != nil {
				return args[0], err
			}
			return args[0], types.CheckUTF8(args[0].Bytes)
		})}
	}
	return nil
}

// CheckEncoding refuses encodings that pgcache does not have.
func CheckEncoding(name types.Value) error {
	switch string(bytes.ToUpper(name.Bytes)) {
	case "UTF8", "UTF-8", "UNICODE":
		return nil
	}
	e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid encoding name \"%s\"", name.Bytes)
	e.Hint = "The one encoding of pgcache is UTF8."
	return e
}

func errEncoding(name types.Value) error {
	e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "unrecognized encoding: \"%s\"", name.Bytes)
	e.Hint = "Use hex, base64 or escape."
	return e
}

// base64LineBytes is how long PostgreSQL makes the lines of base64.
const base64LineBytes = 76

// Encode is encode(bytea, format).
func Encode(args []types.Value) (types.Value, error) {
	b := args[0].Bytes
	switch string(bytes.ToLower(args[1].Bytes)) {
	case "hex":
		return types.OfText(hex.EncodeToString(b)), nil
	case "escape":
		out := make([]byte, 0, len(b))
		for _, c := range b {
			switch {
			case c == '\\':
				out = append(out, '\\', '\\')
			case c == 0 || c >= 0x80: // unlike bytea_output, other control characters stay
				out = append(out, '\\', '0'+c>>6, '0'+c>>3&7, '0'+c&7)
			default:
				out = append(out, c)
			}
		}
		return types.OfBytes(out), nil
	case "base64":
		encoded := base64.StdEncoding.EncodeToString(b)
		out := make([]byte, 0, len(encoded)+len(encoded)/base64LineBytes)
		for len(encoded) > base64LineBytes {
			out = append(append(out, encoded[:base64LineBytes]...), '\n')
			encoded = encoded[base64LineBytes:]
		}
		return types.OfBytes(append(out, encoded...)), nil
	}
	return types.Value{}, errEncoding(args[1])
}

// Decode is decode(text, format).
func Decode(args []types.Value) (types.Value, error) {
	s := args[0].Bytes
	switch string(bytes.ToLower(args[1].Bytes)) {
	case "hex":
		return types.ParseText(types.Bytea, append([]byte(`\x`), s...), nil)
	case "escape":
		if bytes.HasPrefix(s, []byte(`\x`)) {
			return types.Value{}, pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "invalid input syntax for type bytea")
		}
		return types.ParseText(types.Bytea, s, nil)
	case "base64":
		compact := bytes.Map(func(r rune) rune {
			if r == ' ' || r == '\n' || r == '\r' || r == '\t' {
				return -1
			}
			return r
		}, s)
		out, err := base64.StdEncoding.DecodeString(string(compact))
		if err != nil {
			return types.Value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid base64 end sequence or symbol")
		}
		return types.OfBytes(out), nil
	}
	return types.Value{}, errEncoding(args[1])
}

func otherFunction(name string) []Function {
	switch name {
	case "array_length":
		return []Function{pure(name, []types.OID{AnyArray, integer}, integer, func(args []types.Value) (types.Value, error) {
			if args[1].Int != 1 || len(args[0].Elems) == 0 {
				return types.Null(), nil
			}
			return types.OfInt(int64(len(args[0].Elems))), nil
		})}
	case "cardinality":
		return []Function{function1(name, AnyArray, integer, func(v types.Value) (types.Value, error) { return types.OfInt(int64(len(v.Elems))), nil })}
	case "array_to_string":
		return []Function{pure(name, []types.OID{types.TextArray, text}, text, func(args []types.Value) (types.Value, error) {
			var parts [][]byte
			for _, v := range args[0].Elems {
				if !v.IsNull {
					parts = append(parts, v.Bytes)
				}
			}
			return types.OfBytes(bytes.Join(parts, args[1].Bytes)), nil
		})}
	case "gen_random_uuid":
		return []Function{{Name: name, Returns: types.UUID, IsVolatile: true, Call: func(*Env, []types.Value) (types.Value, error) {
			id := make([]byte, 16)
			rand.Read(id) // never fails
			id[6], id[8] = id[6]&0x0f|0x40, id[8]&0x3f|0x80
			return types.OfBytes(id), nil
		}}}
	case "jsonb_build_object": // of texts, which is what metadata holds
		return []Function{{Name: name, Args: []types.OID{types.TextArray}, IsVariadic: true, Returns: types.JSONB, OnNull: true,
			Call: func(_ *Env, args []types.Value) (types.Value, error) { return buildObject(args[0].Elems) }}}
	}
	return nil
}

// buildObject is jsonb_build_object over texts, which is what metadata holds.
func buildObject(elems []types.Value) (types.Value, error) {
	if len(elems)%2 != 0 {
		e := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "argument list must have even number of elements")
		e.Hint = "The arguments of jsonb_build_object() must consist of alternating keys and values."
		return types.Value{}, e
	}
	out := []byte{'{'}
	for i, v := range elems {
		switch {
		case i%2 == 0 && v.IsNull:
			return types.Value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "argument %d: key must not be null", i+1)
		case v.IsNull:
			out = append(out, "null"...)
		default:
			out = types.AppendJSONString(out, v.Bytes)
		}
		if i%2 == 0 {
			out = append(out, ':')
		} else if i+1 < len(elems) {
			out = append(out, ',')
		}
	}
	return types.ParseText(types.JSONB, append(out, '}'), nil)
}
