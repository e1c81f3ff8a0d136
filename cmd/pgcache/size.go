package main

import (
	"fmt"
	"math"
	"strings"

	"github.com/dustin/go-humanize"
)

// byteSize is a number of bytes, written as 256MiB, 4GiB, 100MB or 1048576.
type byteSize int64

// UnmarshalText reads a size as people write it.
func (s *byteSize) UnmarshalText(text []byte) error {
	n, err := humanize.ParseBytes(strings.TrimSpace(string(text)))
	if err != nil || n > math.MaxInt64 {
		return fmt.Errorf("%q is not a size: write it as 256MiB, 4GiB or a number of bytes", text)
	}
	*s = byteSize(n)
	return nil
}

// String is the size in the largest unit that shows it well.
func (s byteSize) String() string {
	return strings.ReplaceAll(humanize.IBytes(uint64(max(s, 0))), " ", "")
}
