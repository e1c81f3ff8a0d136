package library

import (
	"encoding/binary"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// degrees are the trigonometric functions in degrees, exact where the exact answer is known.
func degrees() []implementation {
	const turn = 180
	near := func(x float64) float64 { // what is one rounding away from a whole half
		if r := math.Round(2*x) / 2; math.Abs(x-r) < 1e-13 {
			return r
		}
		return x
	}
	wrapped := func(x float64, f func(radians float64) float64) float64 {
		return near(f(math.Mod(x, 2*turn) * (math.Pi / turn)))
	}
	of := func(name string, f func(x float64) (float64, error)) implementation {
		return pure(name+"(float8)", func(a []value) (value, error) {
			y, err := f(a[0].Float)
			return float(y), err
		})
	}
	direct := func(f func(float64) float64) func(x float64) (float64, error) {
		return func(x float64) (float64, error) {
			if math.IsInf(x, 0) {
				return 0, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "input is out of range")
			}
			return f(x), nil
		}
	}
	inverse := func(f func(float64) float64) func(x float64) (float64, error) {
		return func(x float64) (float64, error) {
			if x < -1 || x > 1 {
				return 0, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "input is out of range")
			}
			return wholeDegrees(f(x) * (turn / math.Pi)), nil
		}
	}
	sine := func(x float64) float64 { return wrapped(x, math.Sin) }
	cosine := func(x float64) float64 { return wrapped(x, math.Cos) }
	return []implementation{
		of("sind", direct(sine)), of("cosd", direct(cosine)),
		of("tand", direct(func(x float64) float64 { return near(sine(x) / cosine(x)) })),
		of("cotd", direct(func(x float64) float64 { return near(cosine(x) / sine(x)) })),
		of("asind", inverse(math.Asin)), of("acosd", inverse(math.Acos)),
		of("atand", func(x float64) (float64, error) { return wholeDegrees(math.Atan(x) * (turn / math.Pi)), nil }),
		pure("atan2d(float8,float8)", func(a []value) (value, error) {
			return float(wholeDegrees(math.Atan2(a[0].Float, a[1].Float) * (turn / math.Pi))), nil
		}),
	}
}

// wholeDegrees undoes the rounding of an angle that is a whole number of degrees.
func wholeDegrees(x float64) float64 {
	if r := math.Round(x); math.Abs(x-r) < 1e-12 {
		return r
	}
	return x
}

// oddments are functions that have no family.
func oddments() []implementation {
	zoned := func(sign int) func(a []value) (value, error) {
		return func(a []value) (value, error) {
			zone, err := zoneNamed(a[2].Text())
			if err != nil {
				return value{}, err
			}
			return types.AddInterval(a[0], a[1], sign, zone)
		}
	}
	return []implementation{
		pure("date_add(timestamptz,interval,text)", zoned(1)), pure("date_subtract(timestamptz,interval,text)", zoned(-1)),
		pure("random_normal(float8,float8)", func(a []value) (value, error) { return float(rand.NormFloat64()*a[1].Float + a[0].Float), nil }),
		pure("random(numeric,numeric)", randomNumeric),
		pure("gcd(numeric,numeric)", func(a []value) (value, error) { return commonDivisor(a, false) }),
		pure("lcm(numeric,numeric)", func(a []value) (value, error) { return commonDivisor(a, true) }),
		pure("uuid_extract_timestamp(uuid)", uuidTime),
		constant("unicode_version()", text(unicode.Version[:strings.LastIndexByte(unicode.Version, '.')])),
		pure("unicode_assigned(text)", func(a []value) (value, error) {
			for _, r := range a[0].Text() {
				if !unicode.IsOneOf([]*unicode.RangeTable{unicode.L, unicode.M, unicode.N, unicode.P, unicode.S, unicode.Z, unicode.C}, r) {
					return boolean(false), nil
				}
			}
			return boolean(true), nil
		}),
		pure("unistr(text)", unescape),
		call("array_shuffle(anyarray)", func(_ *schema.Call, a []value) (value, error) { return sampleOf(a[0], firstLength(a[0])) }),
		call("array_sample(anyarray,int4)", func(_ *schema.Call, a []value) (value, error) {
			if n := firstLength(a[0]); a[1].Int < 0 || a[1].Int > n {
				return value{}, invalidParameter("sample size must be between 0 and %d", n)
			}
			return sampleOf(a[0], a[1].Int)
		}),
		call("array_to_json(anyarray,bool)", func(c *schema.Call, a []value) (value, error) {
			f := c.Catalog.Functions(catalog.System, "array_to_json")
			for _, one := range f {
				if len(one.Args) == 1 && one.Implementation != nil {
					v, err := one.Implementation.Call(c, a[:1])
					if err == nil && a[1].IsTrue() {
						v = text(strings.ReplaceAll(v.Text(), ",{", ",\n {"))
					}
					return v, err
				}
			}
			return null()
		}),
		list("pg_get_wait_events()", func(c *schema.Call, _ []value) ([]value, error) {
			return []value{c.Row(text("Client"), text("ClientRead"), text("The session waits for its client."))}, nil
		}),
		list("pg_config()", func(c *schema.Call, _ []value) ([]value, error) {
			var out []value
			for _, name := range strings.Fields(`BINDIR DOCDIR HTMLDIR INCLUDEDIR PKGINCLUDEDIR INCLUDEDIR-SERVER LIBDIR PKGLIBDIR LOCALEDIR MANDIR SHAREDIR
				SYSCONFDIR PGXS CONFIGURE CC CPPFLAGS CFLAGS CFLAGS_SL LDFLAGS LDFLAGS_EX LDFLAGS_SL LIBS`) {
				out = append(out, c.Row(text(name), text("not recorded")))
			}
			return append(out, c.Row(text("VERSION"), text("PostgreSQL "+catalog.PostgresVersion))), nil
		}),
	}
}

// randomNumeric is a number between two with as many decimals as the one that has more.
func randomNumeric(a []value) (value, error) {
	if types.Compare(types.Numeric, a[0], a[1]) > 0 {
		return value{}, invalidParameter("lower bound must be less than or equal to upper bound")
	}
	scale := max(types.NumericScale(a[0]), types.NumericScale(a[1]))
	low, okLow := new(big.Int).SetString(strings.Replace(types.NumericRound(a[0], scale).Text(), ".", "", 1), 10)
	high, okHigh := new(big.Int).SetString(strings.Replace(types.NumericRound(a[1], scale).Text(), ".", "", 1), 10)
	if !okLow || !okHigh {
		return value{}, invalidParameter("lower and upper bound must be finite")
	}
	width := new(big.Int).Add(new(big.Int).Sub(high, low), big.NewInt(1))
	random := make([]byte, len(width.Bytes())+8)
	for i := range random {
		random[i] = byte(rand.Uint32())
	}
	n := new(big.Int).Add(new(big.Int).Mod(new(big.Int).SetBytes(random), width), low)
	return types.NumericArithmetic('/', text(n.String()), text("1"+strings.Repeat("0", scale)))
}

// commonDivisor is the greatest common divisor of two numerics, or the least common multiple.
func commonDivisor(a []value, isMultiple bool) (value, error) {
	scale := max(types.NumericScale(a[0]), types.NumericScale(a[1]))
	x, ok1 := new(big.Int).SetString(strings.Replace(types.NumericRound(a[0], scale).Text(), ".", "", 1), 10)
	y, ok2 := new(big.Int).SetString(strings.Replace(types.NumericRound(a[1], scale).Text(), ".", "", 1), 10)
	if !ok1 || !ok2 {
		return text("NaN"), nil
	}
	n := new(big.Int).GCD(nil, nil, x.Abs(x), y.Abs(y))
	if isMultiple && n.Sign() != 0 {
		n.Mul(new(big.Int).Quo(x, n), y)
	}
	digits := n.String()
	if scale == 0 {
		return text(digits), nil
	}
	if missing := scale + 1 - len(digits); missing > 0 {
		digits = strings.Repeat("0", missing) + digits
	}
	return text(digits[:len(digits)-scale] + "." + digits[len(digits)-scale:]), nil
}

// uuidTime is when a UUID of version 1 or 7 was made; NULL of others.
func uuidTime(a []value) (value, error) {
	b := a[0].Bytes
	if b[8]&0xc0 != 0x80 {
		return null()
	}
	const version1, gregorian = 1, 122192928000000000 // 100 ns from 1582 to 1970
	if b[6]>>4 != version1 {
		return null()
	}
	ticks := int64(binary.BigEndian.Uint16(b[6:])&0x0fff)<<48 | int64(binary.BigEndian.Uint16(b[4:]))<<32 | int64(binary.BigEndian.Uint32(b))
	return types.OfTime(time.UnixMicro((ticks - gregorian) / 10)), nil
}

// unescape is unistr(): \XXXX, \+XXXXXX, \uXXXX, \UXXXXXXXX and \\.
func unescape(a []value) (value, error) {
	s := a[0].Text()
	var out strings.Builder
	bad := func() (value, error) { return value{}, pgwire.Errorf(pgwire.CodeSyntaxError, "invalid Unicode escape") }
	for {
		before, rest, ok := strings.Cut(s, `\`)
		out.WriteString(before)
		if !ok {
			return bounded([]byte(out.String()))
		}
		if strings.HasPrefix(rest, `\`) {
			out.WriteByte('\\')
			s = rest[1:]
			continue
		}
		skip, digits := 0, 4
		switch {
		case strings.HasPrefix(rest, "+"):
			skip, digits = 1, 6
		case strings.HasPrefix(rest, "u"):
			skip = 1
		case strings.HasPrefix(rest, "U"):
			skip, digits = 1, 8
		}
		if len(rest) < skip+digits {
			return bad()
		}
		n, err := strconv.ParseUint(rest[skip:skip+digits], 16, 32)
		if err != nil || n == 0 || n > unicode.MaxRune || !utf8.ValidRune(rune(n)) {
			return bad()
		}
		out.WriteRune(rune(n))
		s = rest[skip+digits:]
	}
}

// firstLength is the length of an array's first dimension.
func firstLength(v value) int64 {
	if dims := v.Dims(); len(dims) > 0 {
		return int64(dims[0].Length)
	}
	return 0
}

// sampleOf are n of an array's elements, or of its slices, in any order.
func sampleOf(v value, n int64) (value, error) {
	length := firstLength(v)
	if length == 0 || n == 0 {
		return types.OfArray(nil), nil
	}
	size := len(v.Elems) / int(length)
	order := rand.Perm(int(length))[:n]
	var elems []value
	for _, i := range order {
		elems = append(elems, v.Elems[i*size:(i+1)*size]...)
	}
	dims := slices.Clone(v.Dims())
	dims[0] = types.Dim{Length: int32(n), Lower: dims[0].Lower}
	return value{Elems: elems, Shape: &types.Shape{Dims: dims}}, nil
}
