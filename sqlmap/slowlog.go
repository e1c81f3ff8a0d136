package sqlmap

import (
	"errors"
	"strings"
	"sync"
	"time"

	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/types"
)

// slowLog keeps the latest statements that took longer than a threshold.
type slowLog struct {
	threshold time.Duration // 0: none is kept

	mu      sync.Mutex
	entries []slowStatement // a ring
	next    int
}

// slowStatement is one of them. text is cut to slowTextBytesMax; parameters are not kept.
type slowStatement struct {
	started   time.Time
	took      time.Duration
	user      string
	processID uint32
	code      pgwire.Code // of its error; "": it succeeded
	rows      int64
	text      string
}

const (
	slowStatementsMax = 256
	slowTextBytesMax  = 1024
)

// clipText cuts a statement's text for the slow log.
func clipText(sql string) string {
	if len(sql) <= slowTextBytesMax {
		return sql
	}
	const mark = "…"
	return strings.ToValidUTF8(sql[:slowTextBytesMax-len(mark)], "") + mark
}

// isOn reports that statements are to be timed.
func (l *slowLog) isOn() bool { return l.threshold > 0 }

// note keeps a statement if it was slow. started is from time.Now.
func (l *slowLog) note(s *session, p *plan, started time.Time, done pgwire.Completion, err error) {
	took := time.Since(started)
	if took < l.threshold {
		return
	}
	entry := slowStatement{started: started, took: took, user: s.info.User, processID: s.info.ProcessID, rows: done.Rows, text: p.text}
	var e *pgwire.Error
	if errors.As(err, &e) {
		entry.code = e.Code
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.entries) < slowStatementsMax {
		l.entries = append(l.entries, entry)
		return
	}
	l.entries[l.next] = entry
	l.next = (l.next + 1) % slowStatementsMax
}

// slowLogRows are the rows of cache_slow_log, the latest first. A user who is no
// administrator sees own statements only.
func slowLogRows(s *session) []query.Values {
	l := &s.handler.slow
	l.mu.Lock()
	defer l.mu.Unlock()
	var rows []query.Values
	for i := range l.entries {
		entry := &l.entries[(l.next+len(l.entries)-1-i)%len(l.entries)]
		if entry.user == s.info.User || s.grants.isAdmin() {
			rows = append(rows, valuesOf(slowLogFields(entry)))
		}
	}
	return rows
}

func slowLogFields(e *slowStatement) []field {
	code := types.Null()
	if e.code != "" {
		code = types.OfText(string(e.code))
	}
	return []field{
		{"started_at", types.TimestampTZ, types.OfTime(e.started)},
		{"duration_ms", types.Float8, types.OfFloat(float64(e.took.Microseconds()) / 1000)},
		{"user_name", types.Text, types.OfText(e.user)},
		count("pid", int64(e.processID)),
		count("rows", e.rows),
		{"sqlstate", types.Text, code},
		{"statement", types.Text, types.OfText(e.text)},
	}
}
