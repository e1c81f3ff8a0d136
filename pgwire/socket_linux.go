package pgwire

import "golang.org/x/sys/unix"

// peerGone reports that the peer has closed its end, whatever unread input lies before that: a
// message of a pipeline, or the goodbye of TLS.
func peerGone(fd uintptr) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
	n, err := unix.Poll(fds, 0)
	return err == nil && n > 0
}
