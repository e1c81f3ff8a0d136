package cache

import (
	"hash/maphash"

	"pgcache/cache/pages"
)

// labelIndex finds the slots of one shard that carry a label: for each label hash a
// doubly linked list of nodes, for each slot a chain of its nodes. It holds no pointers.
// A hash may be shared by two labels: callers verify with Attrs.HasLabel.
// Guarded by shard.mu.
type labelIndex struct {
	heads map[uint64]uint32
	nodes pages.Array[labelNode] // node 0 is never used
	given uint32                 // nodes ever used are below
	free  uint32                 // list of unused nodes, linked by next
}

type labelNode struct {
	hash       uint64
	slot       uint32 // 0: a bookmark
	next, prev uint32 // in the list of the label
	sibling    uint32 // next node of the same slot
}

// labelNodeBytes is what one label of one entry costs besides its text: the node, and a
// share of the map.
const labelNodeBytes = 24 + 16

func newLabelIndex() labelIndex { return labelIndex{heads: map[uint64]uint32{}, given: 1} }

// add indexes slot under hash; chain is the slot's node chain, the new head of which is
// returned.
func (x *labelIndex) add(slot uint32, hash uint64, chain uint32) uint32 {
	n := x.node()
	head := x.heads[hash]
	*x.nodes.At(n) = labelNode{hash: hash, slot: slot, next: head, sibling: chain}
	if head != 0 {
		x.nodes.At(head).prev = n
	}
	x.heads[hash] = n
	return n
}

// node takes an unused node.
func (x *labelIndex) node() uint32 {
	n := x.free
	if n != 0 {
		x.free = x.nodes.At(n).next
		return n
	}
	n = x.given
	x.given++
	x.nodes.Extend(n)
	return n
}

// removeChain takes all nodes of a slot out of the index.
func (x *labelIndex) removeChain(chain uint32) {
	for chain != 0 {
		sibling := x.nodes.At(chain).sibling
		x.remove(chain)
		chain = sibling
	}
}

// remove takes a node out of its list and frees it.
func (x *labelIndex) remove(number uint32) {
	n := *x.nodes.At(number)
	if n.prev != 0 {
		x.nodes.At(n.prev).next = n.next
	} else if n.next != 0 {
		x.heads[n.hash] = n.next
	} else {
		delete(x.heads, n.hash)
	}
	if n.next != 0 {
		x.nodes.At(n.next).prev = n.prev
	}
	*x.nodes.At(number) = labelNode{next: x.free}
	x.free = number
}

// labelWalk is a walk over the slots under a hash, a part at a time. Between the parts the
// index may change: bookmarks keep the place. Whatever is under the hash all the time, if
// in one slot after the other, is found; some slots are found twice.
type labelWalk struct {
	hash  uint64
	begun bool
	at    uint32 // bookmark of where to go on
	start uint32 // bookmark of where this round began; what is added comes before it
	end   uint32 // bookmark of where it ends; zero: at the end of the list
}

// visit calls yield with the next slots of a walk, looks of them at most, and reports
// whether there are more; only then are there bookmarks left. yield must not change the index.
func (x *labelIndex) visit(w *labelWalk, looks int, yield func(slot uint32)) bool {
	if !w.begun {
		if w.begun = true; x.heads[w.hash] == 0 {
			return false
		}
		w.start = x.bookmark(w.hash, 0)
		w.at = x.bookmark(w.hash, w.start)
	}
	last, n := x.nodes.At(w.at).prev, x.nodes.At(w.at).next
	x.remove(w.at)
	for ; looks > 0; looks-- {
		if n == w.end {
			isAll := x.heads[w.hash] == w.start
			if w.end != 0 {
				x.remove(w.end)
			}
			if isAll {
				x.remove(w.start)
				return false
			}
			w.end = w.start // another round, over what was added during this one
			w.start = x.bookmark(w.hash, 0)
			last, n = w.start, x.nodes.At(w.start).next
		}
		node := x.nodes.At(n)
		if node.slot != 0 {
			yield(node.slot)
		}
		last, n = n, node.next
	}
	w.at = x.bookmark(w.hash, last)
	return true
}

// bookmark puts a node of no slot behind a node of the list of a hash, or (zero) at its head.
func (x *labelIndex) bookmark(hash uint64, prev uint32) uint32 {
	n := x.node()
	next := x.heads[hash]
	if prev != 0 {
		next = x.nodes.At(prev).next
		x.nodes.At(prev).next = n
	} else {
		x.heads[hash] = n
	}
	*x.nodes.At(n) = labelNode{hash: hash, next: next, prev: prev}
	if next != 0 {
		x.nodes.At(next).prev = n
	}
	return n
}

// labelHash mixes namespace generation, kind and text. Dependencies are hashed without
// their namespace, since they can be invalidated in all namespaces at once.
func labelHash(seed maphash.Seed, namespace NamespaceID, kind LabelKind, text []byte) uint64 {
	if kind == Dependency {
		namespace = 0
	}
	return mix64(maphash.Bytes(seed, text) ^ mix64(uint64(namespace)<<1|uint64(kind)))
}

// mix64 is the finalizer of MurmurHash3 (public domain, A. Appleby).
func mix64(x uint64) uint64 {
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	x *= 0xc4ceb9fe1a85ec53
	return x ^ x>>33
}
