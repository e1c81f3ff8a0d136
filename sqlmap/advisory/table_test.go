package advisory

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func newTable(l Limits) *Table { return New(l, func() time.Time { return time.Time{} }) }

// world runs what a test says about owners named a, b, c.
type world struct {
	t      *testing.T
	table  *Table
	owners map[string]*Owner
	waits  map[string]*waiter
}

func newWorld(t *testing.T) *world {
	return &world{t, newTable(Limits{}), map[string]*Owner{}, map[string]*waiter{}}
}

func (w *world) owner(name string) *Owner {
	if w.owners[name] == nil {
		w.owners[name] = w.table.NewOwner(uint32(name[0]))
	}
	return w.owners[name]
}

// want takes a lock: "granted", "waits" or "deadlock".
func (w *world) want(name string, key int64, m Mode) string {
	waiter, err := w.owner(name).begin(Single(key), m, 0, true)
	var deadlock *DeadlockError
	switch {
	case errors.As(err, &deadlock):
		return "deadlock"
	case err != nil:
		w.t.Fatal(err)
	case waiter == nil || w.owner(name).waits == nil:
		return "granted"
	}
	w.waits[name] = waiter
	return "waits"
}

// state is who has and who wants what.
func (w *world) state() string {
	var out []string
	for _, r := range w.table.Rows() {
		what := "waits for"
		if r.IsGranted {
			what = "has"
		}
		out = append(out, fmt.Sprintf("%c %s %s %d", r.ProcessID, what, strings.TrimSuffix(r.Mode.String(), "Lock"), r.Key.Second))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (w *world) expect(want string) {
	w.t.Helper()
	if got := w.state(); got != want {
		w.t.Errorf("is   %s\nwant %s", got, want)
	}
}

func (w *world) must(got, want string) {
	w.t.Helper()
	if got != want {
		w.t.Errorf("%s, want %s", got, want)
	}
}

// A queue is served in order, and who holds a lock goes before those who wait for it.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	w.must(w.want("a", 1, Share), "granted")
	w.must(w.want("b", 1, Exclusive), "waits")
	w.must(w.want("c", 1, Share), "waits") // not before b
	if ok, err := w.owner("d").TryLock(Single(1), Share, 0); ok || err != nil {
		t.Errorf("d overtook b: %v, %v", ok, err)
	}
	if ok, err := w.owner("a").TryLock(Single(1), Exclusive, 0); !ok || err != nil {
		t.Errorf("a cannot go before b, who waits for it: %v, %v", ok, err)
	}
	w.expect("a has Exclusive 1, a has Share 1, b waits for Exclusive 1, c waits for Share 1")
	if got := fmt.Sprint(w.table.Blockers('c')); got != "[97 98]" {
		t.Errorf("c is blocked by %s", got)
	}
	w.owner("a").Unlock(Single(1), Exclusive)
	w.expect("a has Share 1, b waits for Exclusive 1, c waits for Share 1")
	w.owner("a").Close()
	w.expect("b has Exclusive 1, c waits for Share 1")
	w.owner("b").giveUp(w.waits["b"], ErrTimeout) // it has the lock already
	w.expect("b has Exclusive 1, c waits for Share 1")
	w.owner("b").Close()
	w.expect("c has Share 1")
}

// One who leaves a queue lets those behind it go on.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	w.want("a", 1, Share)
	w.want("b", 1, Exclusive)
	w.want("c", 1, Share)
	if err := w.owner("b").giveUp(w.waits["b"], ErrTimeout); err != ErrTimeout {
		t.Error(err)
	}
	w.expect("a has Share 1, c has Share 1")
}

func TestDeadlock(t *testing.T) {
	w := newWorld(t)
	w.want("a", 1, Exclusive)
	w.want("b", 2, Exclusive)
	w.want("c", 3, Exclusive)
	w.must(w.want("a", 2, Share), "waits")
	w.must(w.want("b", 3, Share), "waits")
	_, err := w.owner("c").begin(Single(1), Exclusive, 0, true)
	var deadlock *DeadlockError
	if !errors.As(err, &deadlock) || len(deadlock.Waits) != 3 || deadlock.Waits[0].ProcessID != 'c' || deadlock.Waits[0].BlockedBy != 'a' {
		t.Fatal(err)
	}
	w.owner("c").Close()
	w.expect("a has Exclusive 1, a waits for Share 2, b has Exclusive 2, b has Share 3")
	// Two who hold a lock shared and both want it alone.
	w.want("d", 4, Share)
	w.want("e", 4, Share)
	w.must(w.want("d", 4, Exclusive), "waits")
	w.must(w.want("e", 4, Exclusive), "deadlock")
}

// A cycle through the order of a queue only is none: the order changes.
func TestOrderAvoidsDeadlock(t *testing.T) {
	w := newWorld(t)
	w.want("a", 1, Share)
	w.must(w.want("b", 1, Exclusive), "waits")
	w.want("c", 2, Exclusive)
	w.must(w.want("a", 2, Exclusive), "waits")
	w.must(w.want("c", 1, Share), "granted") // behind b it would wait for ever
	w.expect("a has Share 1, a waits for Exclusive 2, b waits for Exclusive 1, c has Exclusive 2, c has Share 1")
}

func TestDepths(t *testing.T) {
	w := newWorld(t)
	o := w.owner("a")
	for _, depth := range []int{0, 0, 1, 2, 2, 3} {
		if ok, err := o.TryLock(Pair(1, -2), Exclusive, depth); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	holds := func() string { return fmt.Sprint(o.table.locks[Pair(1, -2)].holders[o].counts[Exclusive]) }
	w.must(holds(), "[{0 2} {1 1} {2 2} {3 1}]")
	o.MergeDepth(2)
	w.must(holds(), "[{0 2} {1 1} {2 3}]")
	o.EndDepth(2)
	w.must(holds(), "[{0 2} {1 1}]")
	if !o.Unlock(Pair(1, -2), Exclusive) || o.Unlock(Pair(1, -2), Share) {
		t.Error("Unlock")
	}
	o.UnlockSession()
	w.must(holds(), "[{1 1}]")
	if o.Unlock(Pair(1, -2), Exclusive) {
		t.Error("a transaction's hold was ended by Unlock")
	}
	o.EndDepth(1)
	w.expect("")
}

func TestLimits(t *testing.T) {
	table := newTable(Limits{OwnerMax: 3, TotalMax: 5})
	a, b := table.NewOwner(1), table.NewOwner(2)
	var limit *LimitError
	for i := range int64(3) {
		if ok, err := a.TryLock(Single(i), Share, 0); !ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if _, err := a.TryLock(Single(9), Share, 0); !errors.As(err, &limit) || !limit.OfOwner {
		t.Error(err)
	}
	if ok, err := a.TryLock(Single(1), Share, 0); !ok || err != nil {
		t.Error("what it has already takes room again:", err)
	}
	b.TryLock(Single(1), Share, 0)
	b.TryLock(Single(2), Share, 0)
	if _, err := b.TryLock(Single(7), Share, 0); !errors.As(err, &limit) || limit.OfOwner {
		t.Error(err)
	}
	a.Close()
	b.Close()
	if table.used != 0 || len(table.locks)+len(table.owners) != 0 {
		t.Errorf("%d used, locks %v", table.used, table.locks)
	}
}

func TestWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := newTable(Limits{})
		a, b := table.NewOwner(1), table.NewOwner(2)
		if err := a.Lock(t.Context(), Single(1), Exclusive, 0, 0); err != nil {
			t.Fatal(err)
		}
		if err := b.Lock(t.Context(), Single(1), Share, 0, time.Second); err != ErrTimeout {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := b.Lock(ctx, Single(1), Share, 0, 0); err != context.DeadlineExceeded {
			t.Error(err)
		}
		done := make(chan error)
		go func() { done <- b.Lock(t.Context(), Single(1), Share, 0, 0) }()
		synctest.Wait()
		if !table.Waiting()[2] || table.Waiting()[1] {
			t.Error(table.Waiting())
		}
		a.Unlock(Single(1), Exclusive)
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.Close()
		a.Close()
	})
}

// TestModel takes and gives back locks at random, and looks whether what the package
// promises holds after each step.
func TestModel(t *testing.T) {
	for seed := range uint64(100) {
		r := rand.New(rand.NewPCG(seed, 7))
		table := newTable(Limits{})
		owners := make([]*Owner, 2+r.IntN(5))
		for i := range owners {
			owners[i] = table.NewOwner(uint32(i))
		}
		for step := range 300 {
			o := owners[r.IntN(len(owners))]
			k, m, depth := Single(int64(r.IntN(4))), Mode(r.IntN(modes)), r.IntN(3)
			switch n := r.IntN(20); {
			case o.waits != nil && n < 3:
				o.giveUp(o.waits, ErrTimeout)
			case o.waits != nil:
			case n < 10:
				o.begin(k, m, depth, true)
			case n < 12:
				o.TryLock(k, m, depth)
			case n < 16:
				o.Unlock(k, m)
			case n == 16:
				o.UnlockSession()
			case n == 17:
				o.EndDepth(1 + depth)
			case n == 18:
				o.MergeDepth(1 + depth)
			default:
				o.Close()
			}
			if wrong := table.wrong(); wrong != "" {
				t.Fatalf("seed %d, step %d: %s", seed, step, wrong)
			}
		}
		for _, o := range owners {
			if o.waits != nil {
				o.giveUp(o.waits, ErrTimeout)
			}
			o.Close()
		}
		if table.used != 0 || len(table.locks)+len(table.owners) != 0 {
			t.Fatalf("seed %d: %d used after all, locks %v", seed, table.used, table.locks)
		}
	}
}

// wrong says which promise does not hold.
func (t *Table) wrong() string {
	used := 0
	for _, l := range t.locks {
		var held [modes]int
		for o, h := range l.holders {
			for m := range Mode(modes) {
				used += len(h.counts[m])
				if h.has(m) {
					held[m]++
				}
			}
			if _, known := o.held[l]; !known || !h.has(Share) && !h.has(Exclusive) {
				return "a holding of nothing"
			}
			if h.has(Exclusive) && len(l.holders) > 1 {
				return "A1: held by several"
			}
		}
		if held != l.held {
			return fmt.Sprintf("counted %v, held %v", l.held, held)
		}
		used += len(l.queue)
		for i, w := range l.queue {
			isBehind := slices.ContainsFunc(l.queue[:i], func(q *waiter) bool { return conflicts(q.mode, w.mode) })
			if !isBehind && l.isFree(w.owner, w.mode) {
				return "somebody waits for what is free"
			}
			if cycle(w.owner) != nil {
				return "A3: a cycle"
			}
		}
	}
	if used != t.used {
		return fmt.Sprintf("A4: %d used, %d counted", used, t.used)
	}
	return ""
}
