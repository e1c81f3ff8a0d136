package sqlmap

import (
	"context"
	"time"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/query"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// The procedures that read a key or care for its lifetime: cache_get and its leases,
// cache_exists, cache_touch.

func readProcedures(name string) []function {
	switch name {
	case "cache_get":
		return cacheGet()
	case "cache_release":
		return cacheRelease()
	case "cache_exists":
		return cacheExists()
	case "cache_touch":
		return cacheTouch()
	case "sweep_expired":
		return sweepExpired()
	case "cache_backup":
		return cacheBackup()
	}
	return nil
}

// readProcedure makes a function that changes nothing of the cache.
func readProcedure(f function, run func(s *session, e *schema.Call, args []types.Value) (types.Value, error)) []function {
	f.IsVolatile, f.OnNull = true, true
	f.Call = func(e *schema.Call, args []types.Value) (types.Value, error) {
		v, err := run(sessionOf(e.Env), e, args)
		return v, wireError(err)
	}
	return []function{f}
}

// keyArguments are the first two arguments of most procedures, checked.
func (s *session) keyArguments(f string, args []types.Value) (cache.Key, error) {
	a, err := textArguments(f, args, "ns", "key")
	if err != nil {
		return cache.Key{}, err
	}
	k := cache.Key{Namespace: a[0], Name: a[1]}
	return k, s.checkKey(k)
}

func milliseconds(v types.Value, name string) (time.Duration, error) {
	var d time.Duration
	return d, setDuration(&d, v, name, 0)
}

// cacheGet is cache_get(ns, key, lease_ms, wait_ms): always one row.
func cacheGet() []function {
	shape := &types.Shape{Fields: []types.Field{
		{Name: "state", Type: types.Text}, {Name: "value", Type: types.Bytea}, {Name: "metadata", Type: types.JSONB},
		{Name: "version", Type: types.Int8}, {Name: "lease", Type: types.Int8},
	}}
	f := function{
		Name: "cache_get", Args: []types.OID{types.Text, types.Text, types.Int8, types.Int8},
		ArgNames: []string{"ns", "key", "lease_ms", "wait_ms"}, Optional: 2, Returns: types.Record, Outs: shape.Fields,
	}
	return readProcedure(f, func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
		key, err := s.keyArguments(f.Name, args)
		if err != nil {
			return types.Value{}, err
		}
		var o cache.LeaseOptions
		if o.Lease, err = milliseconds(args[2], "lease_ms"); err != nil {
			return types.Value{}, err
		}
		if o.Wait, err = milliseconds(args[3], "wait_ms"); err != nil {
			return types.Value{}, err
		}
		state, lease, row, err := s.getOrLease(e, key, o)
		if err != nil {
			return types.Value{}, err
		}
		fields := []types.Value{types.OfText(state.String()), types.Null(), types.Null(), types.Null(), types.OfInt(lease)}
		fields[4].IsNull = lease == 0
		copy(fields[1:], row)
		return types.OfRecord(shape, fields), nil
	})
}

// getOrLease returns value, metadata and version of what was found, in memory of their own.
func (s *session) getOrLease(e *schema.Call, key cache.Key, o cache.LeaseOptions) (cache.LeaseState, int64, []types.Value, error) {
	if s.tx.isDirty() {
		if isDone, row, err := s.getOwn(e, key); isDone || err != nil {
			return leaseStateOf(row), 0, row, err
		}
	}
	if o.Lease > 0 {
		if err := s.checkWritable("cache_get() with lease_ms"); err != nil {
			return cache.LeaseMiss, 0, nil, err
		}
		if s.leases == nil {
			s.leases = s.handler.cache.NewLeaseHolder()
		}
		o.Holder = s.leases
	}
	var hit cache.Hit
	defer hit.Release()
	state, lease, err := s.handler.cache.GetOrLease(e.Ctx, key, o, &hit)
	if err != nil || !hit.HasEntry() {
		return state, lease, nil, err
	}
	row, err := leaseColumns(&entryRow{key: key, hit: &hit})
	return state, lease, row, err
}

// getOwn answers a get of what the transaction has changed. What it has deleted is a miss
// without a lease: nobody else may fill it, and the transaction needs none.
func (s *session) getOwn(e *schema.Call, key cache.Key) (isDone bool, values []types.Value, err error) {
	var hit cache.Hit
	defer hit.Release()
	row, err := s.read(e.Ctx, key, false, &hit, &entryRow{})
	if err != nil {
		return false, nil, err
	}
	if pending, ok := row.(*draftRow); ok {
		values, err = leaseColumns(pending)
		return true, values, err
	}
	if row != nil || s.tx.find(key) != nil {
		return row == nil, nil, nil
	}
	existence, err := s.handler.cache.Exists(key)
	return existence != cache.Absent, nil, err // then it is hidden
}

func leaseStateOf(own []types.Value) cache.LeaseState {
	if own == nil {
		return cache.LeaseMiss
	}
	return cache.LeaseHit
}

func leaseColumns(row query.Row) ([]types.Value, error) {
	var values []types.Value
	for _, c := range []int{colValue, colMetadata, colVersion} {
		v, err := row.Column(c)
		if err != nil {
			return nil, err
		}
		values = append(values, v.Clone())
	}
	return values, nil
}

func cacheRelease() []function {
	f := function{
		Name: "cache_release", Args: []types.OID{types.Text, types.Text, types.Int8},
		ArgNames: []string{"ns", "key", "lease"}, Returns: types.Bool,
	}
	return readProcedure(f, func(s *session, _ *schema.Call, args []types.Value) (types.Value, error) {
		key, err := s.keyArguments(f.Name, args)
		if err != nil {
			return types.Value{}, err
		}
		if args[2].IsNull {
			return types.Value{}, errNullArgument(f.Name, "lease")
		}
		return types.OfBool(s.handler.cache.ReleaseLease(key, args[2].Int)), nil
	})
}

func errNullArgument(f, name string) error {
	return pgwire.Errorf(pgwire.CodeNotNullViolation, "argument %s of %s must not be null", name, f)
}

func cacheExists() []function {
	f := function{Name: "cache_exists", Args: []types.OID{types.Text, types.Text}, ArgNames: []string{"ns", "key"}, Returns: types.Text}
	return readProcedure(f, func(s *session, _ *schema.Call, args []types.Value) (types.Value, error) {
		key, err := s.keyArguments(f.Name, args)
		if err != nil {
			return types.Value{}, err
		}
		if pending := s.tx.find(key); pending != nil {
			if pending.isDeleted {
				return types.OfText(cache.Absent.String()), nil
			}
			return types.OfText(cache.Present.String()), nil
		}
		existence, err := s.handler.cache.Exists(key)
		return types.OfText(existence.String()), err
	})
}

// cacheTouch is cache_touch(ns, key, ttl_ms): UPDATE blob SET ttl_ms = … of one key.
func cacheTouch() []function {
	f := function{
		Name: "cache_touch", Args: []types.OID{types.Text, types.Text, types.Int8},
		ArgNames: []string{"ns", "key", "ttl_ms"}, Returns: types.Bool,
	}
	return procedure(f, func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
		key, err := s.keyArguments(f.Name, args)
		if err != nil {
			return types.Value{}, err
		}
		ttl := args[2]
		result, err := s.change(e.Ctx, change{key: key, bytes: sizeOf(args),
			apply: func(_ *query.Env, old query.Row, d *cache.Draft) (cache.Verdict, error) {
				if old == nil {
					return cache.Leave, nil
				}
				return cache.Write, setColumn(d, colTTL, ttl, 1<<colTTL)
			}})
		return types.OfBool(result.Verdict == cache.Write), err
	})
}

// change makes a write of a procedure, at once or at the transaction's end. apply must not
// keep anything of the statement's, and gets no Env.
func (s *session) change(ctx context.Context, c change) (cache.Result, error) {
	if s.tx.isOpen {
		result, _, err := s.buffer(ctx, c)
		return result, err
	}
	return s.handler.cache.Update(ctx, c.key, cache.UpdateOptions{NeedValue: c.needValue}, func(old *cache.Hit, d *cache.Draft) (cache.Verdict, error) {
		if old == nil {
			return c.apply(nil, nil, d)
		}
		return c.apply(nil, &entryRow{key: c.key, hit: old}, d)
	})
}

// sweepExpired is sweep_expired(max_entries, max_ms).
func sweepExpired() []function {
	shape := &types.Shape{Fields: []types.Field{
		{Name: "entries_scanned", Type: types.Int8}, {Name: "entries_removed", Type: types.Int8}, {Name: "bytes_reclaimed", Type: types.Int8},
		{Name: "elapsed_ms", Type: types.Int8}, {Name: "truncated", Type: types.Bool},
	}}
	f := function{
		Name: "sweep_expired", Args: []types.OID{types.Int8, types.Int8}, ArgNames: []string{"max_entries", "max_ms"},
		Returns: types.Record, Outs: shape.Fields,
	}
	return procedure(f, func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
		for i, name := range f.ArgNames {
			if args[i].IsNull {
				return types.Value{}, errNullArgument(f.Name, name)
			}
		}
		if err := s.grants.checkAllNamespaces("sweep_expired()"); err != nil {
			return types.Value{}, err
		}
		limit, err := milliseconds(args[1], "max_ms")
		if err != nil {
			return types.Value{}, err
		}
		report, err := s.handler.cache.SweepExpired(e.Ctx, cache.SweepLimits{EntriesMax: args[0].Int, Duration: limit})
		return types.OfRecord(shape, []types.Value{
			types.OfInt(report.Scanned), types.OfInt(report.Removed), types.OfInt(report.Bytes),
			types.OfInt(report.Elapsed.Milliseconds()), types.OfBool(report.Truncated),
		}), err
	})
}
