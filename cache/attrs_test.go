package cache

import (
	"bytes"
	"math"
	"reflect"
	"testing"
)

func sampleAttrs() []AttrsInput {
	return []AttrsInput{
		{},
		{Priority: 255, Admission: AdmitNever, JitterPct: 100, CreatedMs: -1},
		{HasVersion: true, Version: math.MinInt64, HasHard: true, HardMs: 0, StaleMs: 5, IdleMs: 7},
		{HasHard: true, HardMs: math.MaxInt64, StaleMs: 1, Tags: []string{"a", "", "\x00"}, Dependencies: []string{"b"}},
		{IdleMs: 1, Metadata: []Pair{{"content-type", "x"}, {"", "y"}}, Dependencies: []string{"only"}},
	}
}

// decode is the inverse of AppendAttrs.
func decode(a Attrs) AttrsInput {
	in := AttrsInput{
		Priority: a.Priority(), Admission: a.Admission(), JitterPct: a.JitterPct(), CreatedMs: a.CreatedMs(),
		StaleMs: a.StaleMs(), IdleMs: a.IdleMs(),
	}
	in.Version, in.HasVersion = a.Version()
	in.HardMs, in.HasHard = a.HardMs()
	for text := range a.Tags() {
		in.Tags = append(in.Tags, string(text))
	}
	for text := range a.Dependencies() {
		in.Dependencies = append(in.Dependencies, string(text))
	}
	for key, value := range a.Metadata() {
		in.Metadata = append(in.Metadata, Pair{string(key), string(value)})
	}
	return in
}

func TestAttrsRoundTripAndRejectEveryPrefix(t *testing.T) {
	for _, in := range sampleAttrs() {
		a := AppendAttrs(nil, &in)
		if !a.Valid() {
			t.Fatalf("%+v: not valid", in)
		}
		if got := decode(a); !reflect.DeepEqual(got, in) {
			t.Fatalf("got %+v, want %+v", got, in)
		}
		for n := range a {
			if a[:n].Valid() {
				t.Fatalf("%+v: valid when cut to %d of %d bytes", in, n, len(a))
			}
		}
		if Attrs(append(bytes.Clone(a), 0)).Valid() {
			t.Fatalf("%+v: valid with a byte too many", in)
		}
	}
}

func TestLabelsStopEarly(t *testing.T) {
	a := AppendAttrs(nil, &AttrsInput{Tags: []string{"a", "b"}, Dependencies: []string{"c"}})
	seen := 0
	for range a.Labels() {
		if seen++; seen == 2 {
			break
		}
	}
	if seen != 2 || !a.HasLabel(Dependency, "c") || a.HasLabel(Tag, "c") {
		t.Fatal(seen)
	}
}

func TestStateAt(t *testing.T) {
	for name, x := range map[string]struct {
		in              AttrsInput
		now, lastAccess int64
		want            State
	}{
		"none":                  {AttrsInput{}, 1 << 60, 0, Fresh},
		"before hard":           {AttrsInput{HasHard: true, HardMs: 10}, 9, 0, Fresh},
		"at hard":               {AttrsInput{HasHard: true, HardMs: 10}, 10, 0, Dead},
		"zero is a time":        {AttrsInput{HasHard: true, HardMs: 0}, 0, 0, Dead},
		"stale window begins":   {AttrsInput{HasHard: true, HardMs: 10, StaleMs: 5}, 10, 0, Stale},
		"stale window's last":   {AttrsInput{HasHard: true, HardMs: 10, StaleMs: 5}, 14, 0, Stale},
		"stale window ends":     {AttrsInput{HasHard: true, HardMs: 10, StaleMs: 5}, 15, 0, Dead},
		"window without end":    {AttrsInput{HasHard: true, HardMs: 10, StaleMs: math.MaxInt64}, 1 << 62, 0, Stale},
		"before idle":           {AttrsInput{IdleMs: 10}, 109, 100, Fresh},
		"at idle":               {AttrsInput{IdleMs: 10}, 110, 100, Dead},
		"idle beats the window": {AttrsInput{HasHard: true, HardMs: 10, StaleMs: 500, IdleMs: 10}, 110, 100, Dead},
	} {
		if got := AppendAttrs(nil, &x.in).StateAt(x.now, x.lastAccess); got != x.want {
			t.Errorf("%s: %d, want %d", name, got, x.want)
		}
	}
}

// FuzzAttrs: bytes that Valid accepts can be read without a panic, and re-encode to the
// same bytes.
func FuzzAttrs(f *testing.F) {
	for _, in := range sampleAttrs() {
		f.Add([]byte(AppendAttrs(nil, &in)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a := Attrs(data)
		if !a.Valid() {
			return
		}
		in := decode(a)
		again := AppendAttrs(nil, &in)
		if !bytes.Equal(again, a) {
			t.Fatalf("%x became %x", a, again)
		}
		a.StateAt(in.CreatedMs, in.HardMs)
		a.DeadlineMs()
	})
}
