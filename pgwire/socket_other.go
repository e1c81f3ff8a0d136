//go:build !unix

package pgwire

import "io"

// Without descriptors that can be polled, connections use plain blocking reads.
func readReady(uintptr, []byte) (int, bool, error) { return 0, true, io.ErrNoProgress }
func peerGone(uintptr) bool                        { return false }
