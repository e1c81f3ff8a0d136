package sqlmap

import (
	"bytes"
	"slices"

	"pgcache/cache"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// entrySource makes the rows of blob or cache_entries for queries.
type entrySource struct {
	columns []int // of blobTable
}

func newEntrySource(withValue bool) *entrySource {
	e := &entrySource{}
	for i := range blobTable {
		if withValue || valueColumns&(1<<i) == 0 {
			e.columns = append(e.columns, i)
		}
	}
	return e
}

// Open reads the entries of keys that the filters give, or scans.
func (e *entrySource) Open(env *schema.Env, r *schema.Request) (schema.Rows, error) {
	x := env.Session.(*querySession).portal
	rows := &entryRows{source: e, portal: x, columns: r.Columns}
	for i, at := range e.columns {
		rows.needValue = rows.needValue || r.Columns[i] && valueColumns&(1<<at) != 0
	}
	scan, keys := e.narrow(r.Filters)
	if scan.Namespace != nil && keys != nil {
		if err := x.session.grants.checkNamespace(scan.Namespace); err != nil {
			return nil, err
		}
		rows.blob = &blobCursor{source: &blobSource{needValue: rows.needValue}, keys: keySet{ns: scan.Namespace, names: keys}}
		return rows, nil
	}
	if keys != nil {
		if len(keys) == 0 {
			rows.blob = &blobCursor{source: &blobSource{}}
			return rows, nil
		}
		raiseBound(&scan, keys[0], keyBound{isInclusive: true})
		raiseBound(&scan, keys[len(keys)-1], keyBound{isInclusive: true, isUpper: true})
	}
	scan.NeedValue = rows.needValue
	var err error
	rows.scan, err = x.session.openScan(x, scan)
	return rows, err
}

// narrow says which entries filters let through: keys, sorted, if they name some (not
// nil), else a range.
func (e *entrySource) narrow(filters []schema.Filter) (r cache.ScanRange, keys [][]byte) {
	for _, f := range filters {
		switch at := e.columns[f.Column]; {
		case at == colNS && len(f.Values) == 1 && (f.Comparison == schema.Equal || f.Comparison == schema.In):
			r.Namespace = append([]byte{}, f.Values[0].Bytes...)
		case at == colKey && (f.Comparison == schema.Equal || f.Comparison == schema.In) && keys == nil:
			keys = [][]byte{}
			for _, v := range f.Values {
				keys = append(keys, append([]byte{}, v.Bytes...))
			}
			slices.SortFunc(keys, bytes.Compare)
			keys = slices.CompactFunc(keys, bytes.Equal)
		case at == colKey && f.Comparison == schema.Prefix && len(f.Values[0].Bytes) > len(r.Prefix):
			r.Prefix = append([]byte{}, f.Values[0].Bytes...)
		case (at == colTags || at == colDependencies) && r.Labels == nil && len(f.Values) > 0 &&
			(f.Comparison == schema.Overlaps || f.Comparison == schema.Contains):
			if r.Kind = cache.Tag; at == colDependencies {
				r.Kind = cache.Dependency
			}
			r.Labels = textElements(types.Value{Elems: f.Values})
		}
	}
	return r, keys
}

// entryRows makes rows of the entries that a cursor finds.
type entryRows struct {
	source    *entrySource
	portal    *execution
	columns   []bool
	needValue bool
	blob      *blobCursor // of given keys
	scan      *scanCursor
}

func (r *entryRows) Next(row []types.Value) (bool, error) {
	x := r.portal
	var ok bool
	var err error
	if r.blob != nil {
		ok, err = r.blob.next(x)
	} else {
		ok, err = r.scan.next(x)
	}
	if err != nil || !ok {
		return false, wireError(err)
	}
	for i, at := range r.source.columns {
		if !r.columns[i] {
			row[i] = types.Null()
			continue
		}
		v, err := x.env.Rows[0].Column(at)
		if err != nil {
			return false, err
		}
		row[i] = v.Clone() // the entry's memory ends with its row
	}
	return true, nil
}

func (r *entryRows) Close() {
	if r.blob != nil {
		r.blob.close()
		return
	}
	r.scan.close()
}
