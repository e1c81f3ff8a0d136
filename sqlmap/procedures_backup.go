package sqlmap

import (
	"path/filepath"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// cacheBackup is cache_backup(path): a consistent copy of the disk tier, made by the server
// in a new directory of its machine, while it serves. Administrators only.
func cacheBackup() []function {
	shape := &types.Shape{Fields: []types.Field{
		{Name: "entries", Type: types.Int8}, {Name: "bytes", Type: types.Int8}, {Name: "elapsed_ms", Type: types.Int8},
	}}
	f := function{
		Name: "cache_backup", Args: []types.OID{types.Text}, ArgNames: []string{"path"}, Returns: types.Record, Outs: shape.Fields,
	}
	return readProcedure(f, func(s *session, e *schema.Call, args []types.Value) (types.Value, error) {
		if err := s.grants.checkAdmin("cache_backup()"); err != nil {
			return types.Value{}, err
		}
		a, err := textArguments(f.Name, args, "path")
		if err != nil {
			return types.Value{}, err
		}
		path := string(a[0])
		if !filepath.IsAbs(path) {
			e := pgwire.Errorf(pgwire.CodeInvalidName, "relative path not allowed for cache_backup(): %q", path)
			e.Hint = "The directory is made on the server's machine: write its path from the root."
			return types.Value{}, e
		}
		start := s.handler.config.Now()
		report, err := s.handler.cache.Backup(e.Ctx, path)
		if err != nil {
			return types.Value{}, err
		}
		elapsed := s.handler.config.Now().Sub(start).Milliseconds()
		return types.OfRecord(shape, []types.Value{types.OfInt(report.Entries), types.OfInt(report.Bytes), types.OfInt(elapsed)}), nil
	})
}
