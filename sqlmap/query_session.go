package sqlmap

import (
	"slices"
	"strings"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// querySession is what a running statement knows of its session. It implements
// schema.Session.
type querySession struct {
	session *session
	portal  *execution // that runs a query
	path    []string
	roles   *catalog.Roles // nil: not asked for yet
	setting string         // ownPath of the session's settings, from which path was made
	names   types.Names    // along path, of the session's own
}

func (q *querySession) User() string         { return q.session.info.User }
func (q *querySession) IsSuperuser() bool    { return q.session.grants.isAdmin() }
func (q *querySession) Database() string     { return q.session.info.Database }
func (q *querySession) ProcessID() uint32    { return uint32(q.session.info.ProcessID) }
func (q *querySession) SearchPath() []string { return q.path }
func (q *querySession) Setting(name string) (string, bool) {
	if value, ok := q.session.settings.get(name); ok {
		return value, true
	}
	return q.session.serverSetting(name)
}

var _ schema.Session = (*querySession)(nil)

// searchPath are the schemas to look names up in, pg_catalog included.
func (s *session) searchPath() []string {
	i := s.settings.find("search_path")
	return searchPath(s.handler.catalog, s.settings.values.at(i))
}

func searchPath(c *catalog.Catalog, setting string) []string {
	var path []string
	for _, part := range strings.Split(setting, ",") {
		parts, ok := catalog.ParseName(part)
		if ok && len(parts) == 1 && c.HasSchema(parts[0]) && !slices.Contains(path, parts[0]) {
			path = append(path, parts[0])
		}
	}
	if !slices.Contains(path, catalog.System) {
		path = append([]string{catalog.System}, path...)
	}
	return path
}
