//go:build unix && !linux

package pgwire

import "syscall"

// peerGone reports that the peer has closed its end, leaving unread input where it is.
func peerGone(fd uintptr) bool {
	var one [1]byte
	n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return false
	}
	return err != nil || n == 0
}
