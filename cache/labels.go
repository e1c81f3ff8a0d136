package cache

import "hash/maphash"

// labelIndex finds the slots of one shard that carry a label: for each label hash a
// doubly linked list of nodes, for each slot a chain of its nodes. It holds no pointers.
// A hash may be shared by two labels: callers verify with Attrs.HasLabel.
// Guarded by shard.mu.
type labelIndex struct {
	heads map[uint64]uint32
	nodes []labelNode // node 0 is never used
	free  uint32      // list of unused nodes, linked by next
}

type labelNode struct {
	hash       uint64
	slot       uint32
	next, prev uint32 // in the list of the label
	sibling    uint32 // next node of the same slot
}

// labelNodeBytes is what one label of one entry costs besides its text: the node, and a
// share of the map.
const labelNodeBytes = 24 + 16

func newLabelIndex() labelIndex {
	return labelIndex{heads: map[uint64]uint32{}, nodes: make([]labelNode, 1)}
}

// add indexes slot under hash; chain is the slot's node chain, the new head of which is
// returned.
func (x *labelIndex) add(slot uint32, hash uint64, chain uint32) uint32 {
	n := x.free
	if n != 0 {
		x.free = x.nodes[n].next
	} else {
		n = uint32(len(x.nodes))
		x.nodes = append(x.nodes, labelNode{})
	}
	head := x.heads[hash]
	x.nodes[n] = labelNode{hash: hash, slot: slot, next: head, sibling: chain}
	if head != 0 {
		x.nodes[head].prev = n
	}
	x.heads[hash] = n
	return n
}

// removeChain takes all nodes of a slot out of the index.
func (x *labelIndex) removeChain(chain uint32) {
	for chain != 0 {
		n := x.nodes[chain]
		if n.prev != 0 {
			x.nodes[n.prev].next = n.next
		} else if n.next != 0 {
			x.heads[n.hash] = n.next
		} else {
			delete(x.heads, n.hash)
		}
		if n.next != 0 {
			x.nodes[n.next].prev = n.prev
		}
		x.nodes[chain] = labelNode{next: x.free}
		x.free = chain
		chain = n.sibling
	}
}

// visit calls yield with each slot under hash. The index must not change meanwhile.
func (x *labelIndex) visit(hash uint64, yield func(slot uint32)) {
	for n := x.heads[hash]; n != 0; n = x.nodes[n].next {
		yield(x.nodes[n].slot)
	}
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
