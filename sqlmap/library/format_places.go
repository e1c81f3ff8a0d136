package library

import (
	"strings"

	"pgcache/pgwire"
)

// placer puts a number into the places of a picture, part by part.
type placer struct {
	*picture
	number    inPlaces
	out       []byte
	at        int // the next digit
	place     int
	places    int
	lastShown int // the last digit that FM leaves; -1: all are shown
	signDone  bool
	hasDigits bool // a comma has digits before it
	isInBrackets,
	endsSigned bool
}

// write is the picture of a number.
func (p *picture) write(n inPlaces) (string, error) {
	w := &placer{picture: p, number: n, lastShown: -1, places: p.post + p.pre + p.multiplierPlaces() - 1, isInBrackets: p.inBrackets}
	w.begin()
	for _, part := range p.parts {
		if err := w.part(part); err != nil {
			return "", err
		}
	}
	s, _, _ := strings.Cut(string(w.out), "\x00") // behind the last digit that there is
	return s, nil
}

// multiplierPlaces are the places that V adds.
func (p *picture) multiplierPlaces() int {
	if p.isMultiplied {
		return p.multiplier
	}
	return 0
}

// begin decides where the sign goes and what FM cuts.
func (w *placer) begin() {
	pre := w.pre + w.multiplierPlaces()
	isPositive := w.number.sign != '-'
	switch {
	case w.hasPlus || w.hasMinus:
		w.signDone = !w.hasPlus || w.hasMinus
	default:
		if isPositive && w.fillsNot {
			w.isInBrackets = false
		}
		w.signDone = isPositive && w.fillsNot && !w.hasS
		w.endsSigned = w.signPlace == signAfter || w.signPlace == signBefore && w.signAt == pre
	}
	if w.fillsNot && w.hasPoint {
		if point := strings.IndexByte(w.number.digits, '.'); point >= 0 {
			w.lastShown = point + len(strings.TrimRight(w.number.digits[point+1:], "0"))
			if w.zeroEnd > w.number.blanks {
				w.lastShown = max(w.lastShown, min(len(w.number.digits)-1, w.zeroEnd-w.number.blanks))
			}
		}
	}
	if !w.signDone && w.number.blanks == 0 {
		w.places++
	}
}

func (w *placer) add(s string) { w.out = append(w.out, s...) }

func (w *placer) blankUnlessFM() {
	if !w.fillsNot {
		w.add(" ")
	}
}

func (w *placer) part(part picturePart) error {
	switch part.word {
	case "":
		w.add(part.text)
	case "9", "0", ".", "D":
		w.digit(part.word)
	case ",", "G":
		if w.hasDigits {
			w.add(",")
		} else {
			w.blankUnlessFM()
		}
	case "L":
		w.add(" ") // the currency of locale C
	case "TH", "th":
		return w.ordinal(part.word)
	case "MI":
		if w.number.sign == '-' {
			w.add("-")
		} else {
			w.blankUnlessFM()
		}
	case "PL":
		if w.number.sign == '+' {
			w.add("+")
		} else {
			w.blankUnlessFM()
		}
	case "SG":
		w.add(string(w.number.sign))
	}
	return nil
}

// ordinal writes st, nd, rd or th.
func (w *placer) ordinal(word string) error {
	n := w.number.digits
	if n == "" || n[0] == '#' || w.number.sign == '-' || w.hasPoint {
		return nil
	}
	last := n[len(n)-1]
	if last < '0' || last > '9' {
		return pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "\"%s\" is not a number", n)
	}
	ending := "TH"
	if len(n) == 1 || n[len(n)-2] != '1' {
		ending = map[byte]string{'1': "ST", '2': "ND", '3': "RD"}[last]
		if ending == "" {
			ending = "TH"
		}
	}
	if word == "th" {
		ending = strings.ToLower(ending)
	}
	w.add(ending)
	return nil
}

// isLoneZero reports the zero before a point that no 0 asks for.
func (w *placer) isLoneZero() bool {
	return !w.hasZero && w.at == 0 && strings.HasPrefix(w.number.digits, "0") && w.post != 0
}

// endsAtPoint reports that FM leaves nothing behind the point.
func (w *placer) endsAtPoint() bool {
	return w.lastShown >= 0 && w.number.digits[w.lastShown] == '.'
}

// digit fills a place.
func (w *placer) digit(word string) {
	w.hasDigits = false
	blanks := w.number.blanks
	zeroFrom := w.zeroStart - 1
	if !w.signDone && (w.place >= blanks || w.hasZero && zeroFrom == w.place) && (!w.isLoneZero() || w.endsAtPoint()) {
		w.signBeforeDigits()
	}
	switch {
	case w.place < blanks && (zeroFrom > w.place || !w.hasZero):
		w.blankUnlessFM()
	case w.place < blanks:
		w.add("0")
		w.hasDigits = true
	default:
		w.nextDigit(word)
	}
	end := w.places
	if blanks > 0 {
		end++
	}
	if w.hasPoint {
		end++
	}
	if w.lastShown >= 0 && w.lastShown == w.at {
		end = w.place
	}
	if w.place+1 == end {
		w.signAfterDigits()
	}
	w.place++
}

func (w *placer) signBeforeDigits() {
	switch {
	case w.hasS:
		if w.endsSigned {
			return
		}
		w.add(string(w.number.sign))
	case w.isInBrackets:
		w.add(map[byte]string{'+': " ", '-': "<"}[w.number.sign])
	case w.number.sign == '-':
		w.add("-")
	default:
		w.blankUnlessFM()
	}
	w.signDone = true
}

func (w *placer) signAfterDigits() {
	switch {
	case w.signDone && w.isInBrackets:
		w.add(map[byte]string{'+': " ", '-': ">"}[w.number.sign])
	case w.hasS && w.endsSigned:
		w.add(string(w.number.sign))
	}
}

// nextDigit writes the next digit or the point.
func (w *placer) nextDigit(word string) {
	digits := w.number.digits
	switch {
	case w.at >= len(digits):
		if w.lastShown < 0 || word == "0" {
			w.out = append(w.out, 0)
		}
		return
	case digits[w.at] == '.':
		if w.lastShown < 0 || !w.endsAtPoint() || w.fillsNot {
			w.add(".")
		}
	case w.lastShown >= 0 && w.at > w.lastShown && word != "0":
	case w.isLoneZero():
		if !w.fillsNot {
			w.add(" ")
		} else if w.endsAtPoint() {
			w.add("0")
		}
	default:
		w.add(digits[w.at : w.at+1])
		w.hasDigits = true
	}
	w.at++
}
