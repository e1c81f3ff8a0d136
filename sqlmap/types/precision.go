package types

import (
	"bytes"
	"math"
	"math/big"

	"pgcache/pgwire"
)

// NumericTruncate cuts to a number of decimals; a negative number cuts before the point.
func NumericTruncate(v Value, scale int) Value {
	d, ok := decimalOf(v.Bytes)
	if !ok || scale >= d.scale {
		return v
	}
	d.unscaled.Quo(&d.unscaled, powerOfTen(d.scale-scale))
	d.scale = scale
	if scale < 0 {
		d.unscaled.Mul(&d.unscaled, powerOfTen(-scale))
		d.scale = 0
	}
	return d.value()
}

// NumericSqrt is the square root with PostgreSQL's number of decimals.
func NumericSqrt(v Value) (Value, error) {
	d, ok := decimalOf(v.Bytes)
	if !ok {
		return v, nil
	}
	const significantDigitsMin = 16
	weight, _ := leading(&d)
	scale := significantDigitsMin - ((weight+1)*numericGroup/2 - 1)
	return NumericSqrtTo(v, max(scale, d.scale)), nil
}

// NumericSqrtTo is the square root of what is not negative, with a number of decimals.
func NumericSqrtTo(v Value, scale int) Value {
	d, ok := decimalOf(v.Bytes)
	if !ok {
		return v
	}
	// Two more digits than wanted, so that rounding is right.
	d.rescale(2 * (scale + 2))
	root := decimal{scale: scale + 2}
	root.unscaled.Sqrt(&d.unscaled)
	root.rescale(scale)
	return root.value()
}

// NumericScale is the number of decimals.
func NumericScale(v Value) int {
	_, fraction, _ := bytes.Cut(v.Bytes, []byte{'.'})
	return len(fraction)
}

// LimitNumeric applies the modifier of numeric(precision, scale), as pg_attribute has it.
func LimitNumeric(v Value, typmod int32) (Value, error) {
	const header = 4
	if typmod < header || isSpecial(v.Bytes) && string(v.Bytes) == "NaN" {
		return v, nil
	}
	m := typmod - header
	precision, scale := int(m>>16&0xffff), int((m&0x7ff^0x400)-0x400)
	overflow := func() error {
		e := pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "numeric field overflow")
		e.Detail = "A field with precision " + itoa(precision) + ", scale " + itoa(scale) + " must round to an absolute value less than 10^" + itoa(precision-scale) + "."
		return e
	}
	d, ok := decimalOf(v.Bytes)
	if !ok {
		return Value{}, overflow()
	}
	roundDecimal(&d, scale)
	limit := powerOfTen(max(precision-scale, 0) + d.scale)
	if d.unscaled.CmpAbs(limit) >= 0 {
		return Value{}, overflow()
	}
	return d.value(), nil
}

// roundDecimal rounds to decimals, or before the point if scale is negative.
func roundDecimal(d *decimal, scale int) {
	if scale >= 0 {
		d.rescale(scale)
		return
	}
	d.rescale(0)
	unit := powerOfTen(-scale)
	half := new(big.Int).Rsh(unit, 1)
	if d.unscaled.Sign() < 0 {
		half.Neg(half)
	}
	d.unscaled.Quo(d.unscaled.Add(&d.unscaled, half), unit)
	d.unscaled.Mul(&d.unscaled, unit)
}

func itoa(n int) string { return string(AppendText(nil, Int4, OfInt(int64(n)), nil)) }

// IntervalDivide is v / divisor.
func IntervalDivide(v Value, divisor float64) (Value, error) {
	if math.IsNaN(divisor) {
		return Value{}, errIntervalRange()
	}
	var s span
	months, days := float64(v.Months)/divisor, float64(v.Days)/divisor
	s.months, s.days = math.Trunc(months), math.Trunc(days)
	// What is left of months flows into days, and what is left of these into the time.
	rounded := func(f float64) float64 { return math.Round(f*1e6) / 1e6 }
	monthDays := rounded((months - s.months) * daysPerMonth)
	seconds := rounded((days - s.days + monthDays - math.Trunc(monthDays)) * 86400)
	s.days += math.Trunc(monthDays)
	if math.Abs(seconds) >= 86400 {
		s.days += math.Trunc(seconds / 86400)
		seconds = math.Mod(seconds, 86400)
	}
	s.micros = math.Round(float64(v.Int)/divisor + seconds*microsPerSecond)
	return s.value(1)
}

// LimitInterval applies the modifier of an interval: the fields it keeps, and how many
// decimals the seconds have.
func LimitInterval(v Value, typmod int32) Value {
	const allFields, fullPrecision = 0x7fff, 0xffff
	const month, year, day, hour, minute, second = 1 << 1, 1 << 2, 1 << 3, 1 << 10, 1 << 11, 1 << 12
	if typmod < 0 {
		return v
	}
	fields, precision := typmod>>16&allFields, typmod&fullPrecision
	unit := int64(1)
	switch {
	case fields == allFields || fields&second != 0:
	case fields&minute != 0:
		unit = microsPerMinute
	case fields&hour != 0:
		unit = microsPerHour
	case fields&day != 0:
		unit, v.Int = 1, 0
	case fields&month != 0:
		v.Int, v.Days = 0, 0
	case fields&year != 0:
		v.Int, v.Days, v.Months = 0, 0, v.Months/12*12
	}
	v.Int = v.Int / unit * unit
	if precision < 6 {
		places := int64(math.Pow10(6 - int(precision)))
		v.Int = int64(math.Round(float64(v.Int)/float64(places))) * places
	}
	return v
}
