package l2

import (
	"errors"
	"fmt"
)

// Why Open refuses a directory; found with errors.Is in an *OpenError. What the
// directory holds is still there.
var (
	// ErrLocked: another process has the store open.
	ErrLocked = errors.New("locked by another process")
	// ErrForeign: the directory holds something that is not a pgcache store.
	ErrForeign = errors.New("not a pgcache data directory")
	// ErrNewerFormat: a later version of pgcache wrote the store.
	ErrNewerFormat = errors.New("written by a newer version of pgcache")
	// ErrDamaged: files are missing or their bytes are not what was written.
	ErrDamaged = errors.New("damaged")
)

// ErrDegraded: the store met an error it cannot recover from while running, and takes no
// writes until it is opened again. Reads go on.
var ErrDegraded = errors.New("l2: the store is degraded and takes no writes")

// ErrWriteTimeout: a write did not finish within Config.WriteTimeout. Whether it was
// applied is unknown.
var ErrWriteTimeout = errors.New("l2: write timed out")

// ErrDiskFull: Pebble's log waits for disk space. Writes work again once there is some.
var ErrDiskFull = errors.New("l2: the disk is full")

// OpenError says why a store was not opened, and the way out.
type OpenError struct {
	Dir  string
	Kind error // one of the errors above, or nil for an I/O error
	Hint string
	Err  error // the cause, may be nil
}

func (e *OpenError) Error() string {
	text := fmt.Sprintf("l2: open %s: ", e.Dir)
	if e.Kind != nil {
		text += e.Kind.Error()
	}
	if e.Err != nil {
		if e.Kind != nil {
			text += ": "
		}
		text += e.Err.Error()
	}
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Unwrap gives errors.Is both the kind and the cause.
func (e *OpenError) Unwrap() []error {
	var errs []error
	if e.Kind != nil {
		errs = append(errs, e.Kind)
	}
	if e.Err != nil {
		errs = append(errs, e.Err)
	}
	return errs
}
