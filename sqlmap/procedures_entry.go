package sqlmap

import (
	"context"
	"strconv"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// putColumns are the arguments of cache_put: blob's writable columns in their order, but
// value_text, which stands in place of value, last.
func putColumns() []int {
	return []int{colNS, colKey, colValue, colMetadata, colTags, colDependencies, colVersion, colPriority,
		colL1Admission, colTTL, colExpiresAt, colIdleTTL, colStaleTTL, colJitter, colLease, colValueText}
}

// cachePut is cache_put(ns, key, value, …): a full replacement. What is not given is reset.
func cachePut() []function {
	const required = 2
	columns := putColumns()
	f := function{Name: "cache_put", Returns: types.Bool, Optional: len(columns) - required}
	for _, c := range columns {
		oid := blobTable[c].oid
		if oid == types.Int2 {
			oid = types.Int4 // an integer literal is no smallint
		}
		f.Args, f.ArgNames = append(f.Args, oid), append(f.ArgNames, blobTable[c].name)
	}
	return procedure(f, func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
		if _, err := textArguments(f.Name, args, "ns", "key"); err != nil {
			return types.Value{}, err
		}
		draft := cache.NewDraft(nil)
		given := uint64(0)
		for i, c := range columns {
			if !args[i].IsNull {
				given |= 1 << c
			}
		}
		switch given & valueColumns {
		case 0:
			return types.Value{}, pgwire.Errorf(pgwire.CodeNotNullViolation, "argument value of cache_put must not be null")
		case valueColumns:
			return types.Value{}, errBothPayloads()
		}
		for i, c := range columns {
			isPayload := valueColumns&(1<<c) != 0
			if c == colNS || c == colKey || isPayload && given&(1<<c) == 0 {
				continue
			}
			if err := setColumn(&draft, c, args[i], given); err != nil {
				return types.Value{}, err
			}
		}
		key := cache.Key{Namespace: args[0].Bytes, Name: args[1].Bytes}
		result, err := s.put(e.Ctx, key, draft, sizeOf(args))
		return types.OfBool(err == nil && !result.Existed), err
	})
}

// put replaces an entry whatever there is, at once or at the transaction's end. size is that
// of the draft's labels and metadata, at least.
func (s *session) put(ctx context.Context, key cache.Key, draft cache.Draft, size int64) (cache.Result, error) {
	if err := s.grants.checkNamespace(key.Namespace); err != nil {
		return cache.Result{}, err
	}
	if !s.tx.isOpen {
		return s.handler.cache.Put(ctx, key, &draft)
	}
	draft.Value = types.OfBytes(draft.Value).Clone().Bytes
	result, _, err := s.buffer(ctx, change{key: key, bytes: size, // the draft has its own copy
		apply: func(_ *query.Env, _ query.Row, d *cache.Draft) (cache.Verdict, error) {
			*d = draft
			return cache.Write, nil
		}})
	return result, err
}

// cacheIncr is cache_incr(ns, key, delta, ttl_ms): adds to a counter, which begins at 0. The
// lifetime is that of a counter which begins: one that is there keeps all it has, so that
// a window of time ends however often it is counted in.
func cacheIncr() []function {
	return procedure(function{Name: "cache_incr", Args: []types.OID{types.Text, types.Text, types.Int8, types.Int8},
		ArgNames: []string{"ns", "key", "delta", "ttl_ms"}, Optional: 1, Returns: types.Int8}, runIncr)
}

func runIncr(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
	key, err := s.keyArguments("cache_incr", args)
	if err != nil {
		return types.Value{}, err
	}
	if args[2].IsNull {
		return types.Value{}, pgwire.Errorf(pgwire.CodeNotNullViolation, "argument delta of cache_incr must not be null")
	}
	delta, ttl := args[2].Int, args[3]
	sum := int64(0)
	_, err = s.change(e.Ctx, change{key: key, needValue: true, bytes: sizeOf(args),
		apply: func(_ *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error) {
			n, err := counterOf(old)
			if err != nil {
				return cache.Leave, err
			}
			if old == nil {
				if err := setColumn(d, colTTL, ttl, 1<<colTTL); err != nil {
					return cache.Leave, err
				}
			}
			sum = n + delta
			if (sum > n) != (delta > 0) && delta != 0 {
				return cache.Leave, pgwire.Errorf(pgwire.CodeNumericValueOutOfRange, "bigint out of range")
			}
			d.HasVersion = false // it keeps the one it has
			d.Value, d.KeepValue = strconv.AppendInt(nil, sum, 10), false
			return cache.Write, nil
		}})
	return types.OfInt(sum), err
}

// counterOf is the number that an entry holds, 0 if there is none.
func counterOf(old query.Row) (int64, error) {
	if old == nil {
		return 0, nil
	}
	payload, err := old.Column(colValue)
	if err != nil {
		return 0, err
	}
	const digitsMax = 20
	if len(payload.Bytes) > digitsMax || types.CheckUTF8(payload.Bytes) != nil {
		e := pgwire.Errorf(pgwire.CodeInvalidTextRepresentation, "the payload is not a decimal integer")
		e.Detail = "It has " + strconv.Itoa(len(payload.Bytes)) + " bytes."
		return 0, e
	}
	n, err := types.ParseText(types.Int8, payload.Bytes, nil)
	return n.Int, err
}
