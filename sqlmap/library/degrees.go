package library

import (
	"math"

	"pgcache/pgwire"
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
