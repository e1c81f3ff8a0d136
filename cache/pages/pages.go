// Package pages is an array that grows a page at a time: its elements never move, growing
// copies nothing however large it is, and no room is kept in reserve. With elements that
// hold no pointers the collector does not scan it.
//
// An Array is guarded by whatever guards its owner. Reading elements may go on in
// parallel; Extend needs to be alone.
package pages

// PageLen is how many elements a page has: small, so that small caches stay small.
const PageLen = 64

// Array is the array. The zero Array is empty.
type Array[T any] struct{ pages []*[PageLen]T }

// Len is the number of elements there is room for: a multiple of PageLen.
func (a *Array[T]) Len() int { return len(a.pages) * PageLen }

// At is the element i, which must be below Len.
func (a *Array[T]) At(i uint32) *T { return &a.pages[i/PageLen][i%PageLen] }

// Has reports that there is an element i.
func (a *Array[T]) Has(i uint32) bool { return int(i/PageLen) < len(a.pages) }

// Extend makes room for element i; new elements are zero.
func (a *Array[T]) Extend(i uint32) {
	for !a.Has(i) {
		a.pages = append(a.pages, new([PageLen]T))
	}
}
