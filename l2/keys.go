package l2

import (
	"encoding/binary"

	"pgcache/cache"
)

// Row kinds: the first byte of every key.
const (
	kindSingleton  = 'M'
	kindNamespace  = 'N'
	kindGarbage    = 'G'
	kindWatermark  = 'T'
	kindRecord     = 'm'
	kindPayload    = 'v'
	kindQueue      = 'q'
	kindExpiry     = 'x'
	kindLabelIndex = 'i'
	kindHistory    = 'H'
)

// recordKeyOffset is where the entry's key begins in an m row's key.
const recordKeyOffset = 1 + 8

// orderedKeyOffset is where the entry's key begins in the key of a q or x row.
const orderedKeyOffset = 1 + 8 + 8

func appendNamespacePrefix(dst []byte, kind byte, ns cache.NamespaceID) []byte {
	return binary.BigEndian.AppendUint64(append(dst, kind), uint64(ns))
}

func appendRecordKey(dst []byte, ns cache.NamespaceID, key []byte) []byte {
	return append(appendNamespacePrefix(dst, kindRecord, ns), key...)
}

// splitRecordKey returns the parts of an m row's key. The slice aliases it.
func splitRecordKey(recordKey []byte) (cache.NamespaceID, []byte) {
	return cache.NamespaceID(binary.BigEndian.Uint64(recordKey[1:])), recordKey[recordKeyOffset:]
}

// appendPayloadKey makes a v row's key from the record's m key.
func appendPayloadKey(dst, recordKey []byte) []byte {
	return append(append(dst, kindPayload), recordKey[1:]...)
}

// appendOrderedKey makes the key of a q row (order: the sequence) or an x row (order: the
// deadline) from the record's m key.
func appendOrderedKey(dst []byte, kind byte, order uint64, recordKey []byte) []byte {
	dst = binary.BigEndian.AppendUint64(append(dst, kind), order)
	return append(dst, recordKey[1:]...)
}

// splitOrderedKey returns the order of a q or x row and appends the record's m key to dst.
func splitOrderedKey(dst, key []byte) (order uint64, recordKey []byte, ok bool) {
	if len(key) < orderedKeyOffset {
		return 0, dst, false
	}
	dst = append(dst, kindRecord)
	return binary.BigEndian.Uint64(key[1:]), append(dst, key[1+8:]...), true
}

// expiryOrder maps a deadline to an order that sorts; deadlines before 1970 are one.
func expiryOrder(deadlineMs int64) uint64 { return uint64(max(deadlineMs, 0)) }

func appendLabelPrefix(dst []byte, ns cache.NamespaceID, kind cache.LabelKind, text []byte) []byte {
	dst = append(appendNamespacePrefix(dst, kindLabelIndex, ns), byte(kind))
	dst = binary.BigEndian.AppendUint16(dst, uint16(len(text)))
	return append(dst, text...)
}

func appendWatermarkKey(dst []byte, label cache.Label) []byte {
	dst = append(appendNamespacePrefix(dst, kindWatermark, label.Namespace), byte(label.Kind))
	return append(dst, label.Text...)
}

func splitWatermarkKey(key []byte) (cache.Label, bool) {
	const textOffset = 1 + 8 + 1
	if len(key) < textOffset {
		return cache.Label{}, false
	}
	return cache.Label{
		Namespace: cache.NamespaceID(binary.BigEndian.Uint64(key[1:])),
		Kind:      cache.LabelKind(key[textOffset-1]),
		Text:      string(key[textOffset:]),
	}, true
}

func appendNamespaceKey(dst []byte, name string) []byte {
	return append(append(dst, kindNamespace), name...)
}

func singletonKey(name string) []byte { return append([]byte{kindSingleton}, name...) }

// appendSuccessor appends the least key greater than every key that begins with prefix.
// It appends nothing, meaning no bound, if prefix is all 0xff; ours begin with a letter.
func appendSuccessor(dst, prefix []byte) []byte {
	for n := len(prefix); n > 0; n-- {
		if prefix[n-1] != 0xff {
			dst = append(dst, prefix[:n]...)
			dst[len(dst)-1]++
			return dst
		}
	}
	return dst
}
