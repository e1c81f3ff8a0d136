package library

import (
	"fmt"
	"slices"
	"strings"

	"pgcache/pgwire"
)

// picture is what a number format asks for: its parts, and what all of them together say. Its
// fields have the meaning that they have in PostgreSQL, whose results are those of one pass
// over the parts with what is known here.
type picture struct {
	parts []picturePart

	pre, post          int // digit places before and behind the point
	multiplier         int // digit places behind V
	zeroStart, zeroEnd int // where zeros are shown, from 1; 0: nowhere
	signPlace          signPlace
	signAt             int // how many places are before an S

	hasPoint, hasZero, fillsNot, hasS, inBrackets, hasMinus, hasPlus, isRoman, isMultiplied, hasExponent, isBlank bool
}

// picturePart is a key word of a format, or text that is copied.
type picturePart struct {
	word string
	text string // if word is empty
}

type signPlace uint8

const (
	signNowhere signPlace = iota
	signBefore
	signAfter
)

// pictureBytesMax bounds the formats of numbers.
const pictureBytesMax = 4096

// pictureWords are the key words of number formats, longer ones first. They are written in
// capitals or in small letters.
func pictureWords() []string {
	return []string{"EEEE", "FM", "MI", "PL", "PR", "RN", "SG", "SP", "TH", ",", ".", "0", "9", "B", "C", "D", "G", "L", "S", "V"}
}

func parsePicture(format string) (*picture, error) {
	if len(format) > pictureBytesMax {
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "number format is too long")
		e.Detail = fmt.Sprintf("It has %d bytes; the limit is %d.", len(format), pictureBytesMax)
		return nil, e
	}
	p := &picture{}
	words := pictureWords()
	for rest := format; rest != ""; {
		at := slices.IndexFunc(words, func(w string) bool {
			return strings.HasPrefix(rest, w) || strings.HasPrefix(rest, strings.ToLower(w))
		})
		if at >= 0 {
			word := words[at]
			if err := p.add(word); err != nil {
				return nil, err
			}
			if rest[:len(word)] != word && (word == "RN" || word == "TH") {
				word = strings.ToLower(word)
			}
			p.parts = append(p.parts, picturePart{word: word})
			rest = rest[len(word):]
			continue
		}
		text := ""
		text, rest = literalOf(rest)
		p.parts = append(p.parts, picturePart{text: text})
	}
	return p, nil
}

// literalOf takes what is copied from the beginning of a format: a text in quotes, or a character.
func literalOf(rest string) (text, after string) {
	if strings.HasPrefix(rest, `\"`) {
		return `"`, rest[2:]
	}
	if rest[0] != '"' {
		return rest[:1], rest[1:]
	}
	var b strings.Builder
	for i := 1; i < len(rest); i++ {
		switch {
		case rest[i] == '"':
			return b.String(), rest[i+1:]
		case rest[i] == '\\' && i+1 < len(rest):
			i++
		}
		b.WriteByte(rest[i])
	}
	return b.String(), ""
}

func errPicture(format string, args ...any) error {
	return pgwire.Errorf(pgwire.CodeSyntaxError, format, args...)
}

// add notes what a key word says of the whole.
func (p *picture) add(word string) error {
	if p.hasExponent && word != "EEEE" {
		return errPicture("\"EEEE\" must be the last pattern used")
	}
	switch word {
	case "9", "0":
		return p.addPlace(word)
	case ".", "D":
		switch {
		case p.hasPoint:
			return errPicture("multiple decimal points")
		case p.isMultiplied:
			return errPicture("cannot use \"V\" and decimal point together")
		}
		p.hasPoint = true
	case "FM":
		p.fillsNot = true
	case "S", "MI", "PL", "SG", "PR":
		return p.addSign(word)
	case "RN":
		p.isRoman = true
	case "B":
		p.isBlank = p.isBlank || p.pre+p.post == 0
	case "V":
		if p.hasPoint {
			return errPicture("cannot use \"V\" and decimal point together")
		}
		p.isMultiplied = true
	case "EEEE":
		return p.addExponent()
	}
	return nil
}

func (p *picture) addPlace(word string) error {
	if p.inBrackets {
		return errPicture("\"%s\" must be ahead of \"PR\"", word)
	}
	switch {
	case word == "9" && p.isMultiplied:
		p.multiplier++
		return nil
	case word == "0" && !p.hasZero && !p.hasPoint:
		p.hasZero, p.zeroStart = true, p.pre+1
	}
	if p.hasPoint {
		p.post++
	} else {
		p.pre++
	}
	if word == "0" {
		p.zeroEnd = p.pre + p.post
	}
	return nil
}

func (p *picture) addSign(word string) error {
	switch word {
	case "S":
		switch {
		case p.hasS:
			return errPicture("cannot use \"S\" twice")
		case p.hasPlus || p.hasMinus || p.inBrackets:
			return errPicture("cannot use \"S\" and \"PL\"/\"MI\"/\"SG\"/\"PR\" together")
		}
		p.hasS, p.signPlace = true, signAfter
		if !p.hasPoint {
			p.signPlace, p.signAt = signBefore, p.pre
		}
		return nil
	case "PR":
		if p.hasS || p.hasPlus || p.hasMinus {
			return errPicture("cannot use \"PR\" and \"S\"/\"PL\"/\"MI\"/\"SG\" together")
		}
		p.inBrackets = true
		return nil
	}
	if p.hasS {
		return errPicture("cannot use \"S\" and \"%s\" together", word)
	}
	p.hasMinus = p.hasMinus || word != "PL"
	p.hasPlus = p.hasPlus || word != "MI"
	return nil
}

func (p *picture) addExponent() error {
	if p.hasExponent {
		return errPicture("cannot use \"EEEE\" twice")
	}
	if p.isBlank || p.fillsNot || p.hasS || p.inBrackets || p.hasMinus || p.hasPlus || p.isRoman || p.isMultiplied {
		e := pgwire.Errorf(pgwire.CodeSyntaxError, "\"EEEE\" is incompatible with other formats")
		e.Detail = "\"EEEE\" may only be used together with digit and decimal point patterns."
		return e
	}
	p.hasExponent = true
	return nil
}

// inPlaces is a number ready to be put into the places of a picture.
type inPlaces struct {
	digits string // with a point, without a sign
	sign   byte   // + or -
	blanks int    // places before the digits that have none
}

// fit makes a number fit the places: # everywhere if it is too large.
func (p *picture) fit(digits string, sign byte, pre int) inPlaces {
	whole, _, _ := strings.Cut(digits, ".")
	switch {
	case len(whole) < pre:
		return inPlaces{digits, sign, pre - len(whole)}
	case len(whole) > pre:
		return inPlaces{strings.Repeat("#", pre) + "." + strings.Repeat("#", p.post), sign, 0}
	}
	return inPlaces{digits, sign, 0}
}

// romanBytes is how wide a Roman number is; one that there is none of is so many #.
const romanBytes = 15

// roman writes 1 to 3999.
func roman(n int64) string {
	if n < 1 || n > 3999 {
		return strings.Repeat("#", romanBytes)
	}
	var b strings.Builder
	values := []int64{1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1}
	for i, letters := range strings.Fields("M CM D CD C XC L XL X IX V IV I") {
		for n >= values[i] {
			b.WriteString(letters)
			n -= values[i]
		}
	}
	return b.String()
}

// writeRoman is the picture of a Roman number: of the rest of the format only text counts.
func (p *picture) writeRoman(number string) string {
	var b strings.Builder
	shown := number
	if !p.fillsNot {
		shown = fmt.Sprintf("%*s", romanBytes, number)
	}
	for _, part := range p.parts {
		switch part.word {
		case "":
			b.WriteString(part.text)
		case "RN":
			b.WriteString(shown)
		case "rn":
			b.WriteString(strings.ToLower(shown))
		case ",", "G", "L":
			if part.word == "L" || !p.fillsNot {
				b.WriteByte(' ')
			}
		case "MI", "PL":
			if !p.fillsNot {
				b.WriteByte(' ')
			}
		case "SG":
			return b.String() // as in PostgreSQL, which has no sign to write
		}
	}
	return b.String()
}

// exponentMisfit stands for a number without an exponent: NaN and infinities.
func (p *picture) exponentMisfit() string {
	s := []byte(" " + strings.Repeat("#", p.pre+p.post+5))
	s[min(p.pre+1, len(s)-1)] = '.'
	return string(s)
}
