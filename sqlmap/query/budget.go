package query

import (
	"context"
	"time"

	"pgcache/pgwire"
)

// Limits bound what one statement may use. Zero fields take the default.
type Limits struct {
	// WorkMax is how many rows all steps of a statement may handle together; 200 million.
	WorkMax int64
	// RowsMax is how many rows may be kept in memory: sorted, grouped, joined; 2 million.
	RowsMax int64
	// BytesMax is how much memory these rows may take; 128 MiB.
	BytesMax int64
	// TimeMax is how long a statement may compute; 60 s.
	TimeMax time.Duration
}

const (
	workMaxDefault  = 200_000_000
	rowsMaxDefault  = 2_000_000
	bytesMaxDefault = 128 << 20
	timeMaxDefault  = 60 * time.Second
)

func (l Limits) withDefaults() Limits {
	if l.WorkMax == 0 {
		l.WorkMax = workMaxDefault
	}
	if l.RowsMax == 0 {
		l.RowsMax = rowsMaxDefault
	}
	if l.BytesMax == 0 {
		l.BytesMax = bytesMaxDefault
	}
	if l.TimeMax == 0 {
		l.TimeMax = timeMaxDefault
	}
	return l
}

// budget is what a statement has left.
type budget struct {
	limits      Limits
	ctx         context.Context
	now         func() time.Time
	began       time.Time
	used        time.Duration // since began, when it was last looked at
	work        int64
	rows, bytes int64
}

// stepsPerCheck is how many steps go by between looks at the clock and for cancellation.
const stepsPerCheck = 1024

// step takes one row's work.
func (b *budget) step() error {
	b.work++
	if b.work%stepsPerCheck != 0 {
		return nil
	}
	return b.check()
}

func (b *budget) check() error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if b.work > b.limits.WorkMax {
		return exceeded(pgwire.CodeProgramLimitExceeded, "max_query_work", "the statement handled more than %d rows", b.limits.WorkMax)
	}
	if b.used = b.now().Sub(b.began); b.used > b.limits.TimeMax {
		return exceeded(pgwire.CodeQueryCanceled, "max_query_time", "the statement computed for more than %v", b.limits.TimeMax)
	}
	return nil
}

// keep takes the memory of a row that is kept.
func (b *budget) keep(bytes int64) error {
	b.rows++
	if b.rows > b.limits.RowsMax {
		return exceeded(pgwire.CodeProgramLimitExceeded, "max_query_rows", "the statement kept more than %d rows in memory", b.limits.RowsMax)
	}
	return b.charge(bytes)
}

func (b *budget) charge(bytes int64) error {
	b.bytes += bytes
	if b.bytes > b.limits.BytesMax {
		return exceeded(pgwire.CodeProgramLimitExceeded, "max_query_bytes", "the statement kept more than %d bytes in memory", b.limits.BytesMax)
	}
	return nil
}

// release gives memory back.
func (b *budget) release(rows, bytes int64) {
	b.rows -= rows
	b.bytes -= bytes
}

func exceeded(code pgwire.Code, setting, format string, limit any) error {
	e := pgwire.Errorf(code, "query is too expensive")
	e.Detail = pgwire.Errorf(code, format, limit).Message + "."
	e.Hint = "Narrow it by WHERE or LIMIT, or raise " + setting + "."
	return e
}
