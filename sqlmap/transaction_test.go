package sqlmap

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgcache/cache"
)

// blockModel is what a block should see: entries by key with their tag.
type blockModel map[string]string

func (m blockModel) clone() blockModel {
	c := blockModel{}
	for k, v := range m {
		c[k] = v
	}
	return c
}

func (m blockModel) remove(matches func(key, tag string) bool) (n int) {
	for k, tag := range m {
		if matches(k, tag) {
			delete(m, k)
			n++
		}
	}
	return n
}

func (m blockModel) String() string {
	var rows []string
	for k, tag := range m {
		rows = append(rows, k+"="+tag)
	}
	slices.Sort(rows)
	return strings.Join(rows, " ")
}

// ask runs a Query and returns its rows and tag, or error, in one line.
func (w *world) ask(s *session, sql string) string {
	var out []string
	for _, line := range strings.Split(strings.TrimSpace(w.simple(s, sql)), "\n") {
		if !strings.HasPrefix(line, "[") {
			out = append(out, line)
		}
	}
	return strings.Join(out, " ")
}

// TestBlocksAgainstAModel runs random statements in blocks with savepoints and compares
// what the block and what another session see with a model, in each moment.
func TestBlocksAgainstAModel(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { runBlocks(t, rand.New(rand.NewPCG(seed, 1))) })
	}
}

func runBlocks(t *testing.T, random *rand.Rand) {
	w := newWorld(t, nil)
	own, other := w.session("own"), w.session("other")
	committed, model := blockModel{}, blockModel{}
	var saved []blockModel
	ask := func(s *session, sql string) string { return w.ask(s, sql) }
	inBlock := false
	for range 120 {
		key, tag, prefix := fmt.Sprintf("%c%d", 'a'+rune(random.IntN(2)), random.IntN(3)), fmt.Sprint("t", random.IntN(2)), string('a'+rune(random.IntN(2)))
		var sql, want string
		count := func(command string, n int) string { return fmt.Sprintf("%s %d", command, n) }
		switch roll := random.IntN(20); {
		case !inBlock:
			sql, want, inBlock, saved = "BEGIN", "BEGIN", true, nil
		case roll < 5:
			sql = fmt.Sprintf("INSERT INTO blob (ns, key, value, tags) VALUES ('n', '%s', '', '{%s}') ON CONFLICT (ns, key) DO UPDATE SET tags = excluded.tags", key, tag)
			model[key] = tag
			want = "INSERT 0 1"
		case roll < 6:
			sql = fmt.Sprintf("INSERT INTO blob (ns, key, value, tags) VALUES ('n', '%s', '', '{%s}') ON CONFLICT DO NOTHING", key, tag)
			want = "INSERT 0 0"
			if _, there := model[key]; !there {
				model[key], want = tag, "INSERT 0 1"
			}
		case roll < 8:
			sql = fmt.Sprintf("DELETE FROM blob WHERE ns = 'n' AND key = '%s'", key)
			want = count("DELETE", model.remove(func(k, _ string) bool { return k == key }))
		case roll < 9:
			sql = fmt.Sprintf("DELETE FROM blob WHERE ns = 'n' AND key LIKE '%s%%' AND '%s' = ANY (tags)", prefix, tag)
			want = count("DELETE", model.remove(func(k, v string) bool { return k[:1] == prefix && v == tag }))
		case roll < 11:
			sql = fmt.Sprintf("DELETE FROM blob WHERE ns = 'n' AND tags && '{%s}'", tag)
			want = count("DELETE", model.remove(func(_, v string) bool { return v == tag }))
		case roll < 12:
			sql = fmt.Sprintf("DELETE FROM blob WHERE ns = 'n' AND key LIKE '%s%%'", prefix)
			want = count("DELETE", model.remove(func(k, _ string) bool { return k[:1] == prefix }))
		case roll < 13:
			sql = "DELETE FROM blob WHERE ns = 'n'"
			want = count("DELETE", model.remove(func(string, string) bool { return true }))
		case roll < 14:
			sql = fmt.Sprintf("UPDATE blob SET tags = '{%s}' WHERE ns = 'n' AND key IN ('%s', 'b0')", tag, key)
			n := 0
			for _, k := range slices.Compact([]string{key, "b0"}) {
				if _, there := model[k]; there {
					model[k] = tag
					n++
				}
			}
			want = count("UPDATE", n)
		case roll < 16:
			sql, want = fmt.Sprint("SAVEPOINT s", len(saved)), "SAVEPOINT"
			saved = append(saved, model.clone())
		case roll < 17 && len(saved) > 0:
			i := random.IntN(len(saved))
			sql, want = fmt.Sprint("ROLLBACK TO s", i), "ROLLBACK"
			model, saved = saved[i].clone(), saved[:i+1]
		case roll < 18:
			sql, want, inBlock = "ROLLBACK", "ROLLBACK", false
			model = committed.clone()
		default:
			sql, want, inBlock = "COMMIT", "COMMIT", false
			committed = model.clone()
		}
		if got := ask(own, sql); got != want {
			t.Fatalf("%s: %s, want %s", sql, got, want)
		}
		for s, m := range map[*session]blockModel{own: model, other: committed} {
			for _, look := range []string{
				"SELECT key || '=' || tags[1] AS x FROM blob WHERE ns = 'n' ORDER BY key",
				"SELECT key || '=' || tags[1] AS x FROM blob WHERE ns = 'n' AND key IN ('a0', 'a1', 'a2', 'b0', 'b1', 'b2')",
			} {
				if got := ask(s, look); got != strings.TrimSpace(m.String()+fmt.Sprintf(" SELECT %d", len(m))) {
					t.Fatalf("after %s: %s\nsees %s, want %s (in the block: %v)", sql, look, got, m, s == own)
				}
			}
		}
	}
}

// A statement of several rows that meets others' writes all the time succeeds in the end.
func TestStatementOfSeveralRowsAmongWriters(t *testing.T) {
	w := newWorld(t, nil)
	s := w.session("s")
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				d := cache.NewDraft([]byte("w"))
				w.cache.Put(context.Background(), cache.K("n", fmt.Sprint(i%20)), &d)
			}
		}
	}()
	for i := range 50 {
		sql := "INSERT INTO blob (ns, key, value) VALUES "
		for j := range 10 {
			sql += fmt.Sprintf("('n', '%d', '%d'), ", j, i)
		}
		sql += "('n', 'x', 'y') ON CONFLICT (ns, key) DO UPDATE SET value = excluded.value"
		if got := w.ask(s, sql); got != "INSERT 0 11" {
			t.Fatal(got)
		}
	}
	close(stop)
	<-stopped
}
