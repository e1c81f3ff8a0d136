//go:build unix

package pgwire

import (
	"io"
	"syscall"
)

// readReady reads what a non-blocking descriptor has; ready is false if that is nothing.
func readReady(fd uintptr, p []byte) (n int, ready bool, err error) {
	for {
		n, err = syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return 0, false, nil
		case err != nil:
			return 0, true, err
		case n == 0:
			return 0, true, io.EOF
		}
		return n, true, nil
	}
}
