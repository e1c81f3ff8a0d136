package main

import "testing"

func TestGiveBack(t *testing.T) {
	const mib = 1 << 20
	before := heapUse{allocated: 100 * mib}
	tests := []struct {
		name string
		now  heapUse
		want bool
	}{
		{"garbage", heapUse{allocated: 100 * mib, objects: 90 * mib, live: 70 * mib}, true},
		{"free pages", heapUse{allocated: 100 * mib, objects: 70 * mib, live: 70 * mib, free: 20 * mib}, true},
		{"little", heapUse{allocated: 100 * mib, objects: 75 * mib, live: 70 * mib, free: 5 * mib}, false},
		{"at work", heapUse{allocated: 102 * mib, objects: 90 * mib, live: 70 * mib}, false},
		{"swept below what was live", heapUse{allocated: 100 * mib, objects: 60 * mib, live: 70 * mib}, false},
	}
	for _, test := range tests {
		if got := test.now.shouldGiveBack(before); got != test.want {
			t.Errorf("%s: %v", test.name, got)
		}
	}
	if u := readHeapUse(); u.allocated == 0 || u.objects == 0 {
		t.Errorf("the runtime tells %+v", u)
	}
	giveBackWhenQuiet()()
}
