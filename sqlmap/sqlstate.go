package sqlmap

import (
	"errors"
	"fmt"

	"pgcache/cache"
	"pgcache/pgwire"
)

// generalHint names the forms the dialect has.
const generalHint = "pgcache is a cache: SELECT, INSERT … ON CONFLICT, UPDATE and DELETE on blob by ns and key, and CALL invalidate_key, _prefix, _tags, _dependencies or _namespace."

// formatLimit is the DETAIL of an exceeded limit.
func formatLimit(got, most int64, unit, setting string) string {
	if unit == "count" {
		unit = "items"
	}
	detail := fmt.Sprintf("It has %d %s; the limit is %d.", got, unit, most)
	if setting != "" {
		detail = fmt.Sprintf("It has %d %s; the limit is %d (setting %s).", got, unit, most, setting)
	}
	return detail
}

// wireError is the one place where an error of the cache gets its SQLSTATE. Errors that
// are not the cache's (contexts, *pgwire.Error, bugs) are returned as they are.
func wireError(err error) error {
	var (
		limit    *cache.LimitError
		quota    *cache.QuotaError
		version  *cache.VersionError
		argument *cache.ArgumentError
		lease    *cache.LeaseError
		wire     *pgwire.Error
	)
	switch {
	case err == nil, errors.As(err, &wire):
		return err
	case errors.As(err, &limit):
		e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "%s is too large", limit.What)
		e.Detail = formatLimit(limit.Got, limit.Max, limit.Unit, limit.Setting)
		if limit.What == "scan" {
			e.Hint = "Without a disk tier a scan keeps the keys that match: narrow it by ns, a prefix or range of keys, or LIMIT."
		}
		return e
	case errors.As(err, &quota) && quota.Namespace != "":
		e := pgwire.Errorf(pgwire.CodeConfigurationLimitExceeded, "the entry is larger than the quota of namespace \"%s\"", quota.Namespace)
		e.Detail = fmt.Sprintf("It takes %d bytes; the quota is %d.", quota.Got, quota.Max)
		e.Hint = "Raise it: UPDATE cache_namespaces SET l1_bytes_max = …, l2_bytes_max = … WHERE ns = …."
		return e
	case errors.As(err, &quota):
		e := pgwire.Errorf(pgwire.CodeConfigurationLimitExceeded, "too many %s", quota.What)
		e.Detail = fmt.Sprintf("The limit is %d.", quota.Max)
		e.Hint = "Use fewer namespaces, or raise max_namespaces."
		return e
	case errors.As(err, &version):
		e := pgwire.Errorf(pgwire.CodeObjectNotInPrerequisiteState, "version does not succeed the stored version")
		e.Detail = fmt.Sprintf("The stored version is %d, the offered version is %d.", version.Stored, version.Offered)
		e.Hint = "Read the entry again and write a greater version."
		return e
	case errors.As(err, &lease):
		e := pgwire.Errorf(pgwire.CodeObjectNotInPrerequisiteState, "the lease does not allow this write")
		e.Detail = fmt.Sprintf("Lease %d %s.", lease.Lease, lease.Why)
		e.Hint = "Nothing was changed. Read the key again with cache_get, and its source if that grants a new lease."
		return e
	case errors.As(err, &argument):
		return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "%s %s", argument.What, argument.Why)
	}
	return wireSentinel(err)
}

// wireSentinel is wireError for the errors without numbers.
func wireSentinel(err error) error {
	var code pgwire.Code
	var message, hint string
	switch {
	case errors.Is(err, cache.ErrClosed):
		code, message = pgwire.CodeAdminShutdown, "the cache is shutting down"
	case errors.Is(err, cache.ErrTierBusy):
		code, message = pgwire.CodeDiskFull, "the disk tier does not keep up with writes"
		hint = "Nothing was changed. Write more slowly, or give the cache more memory (l1_bytes)."
	case errors.Is(err, cache.ErrNoRoom):
		code, message = pgwire.CodeDiskFull, "no room in memory for the entry"
		hint = "Nothing was changed. What memory holds waits for the disk; write more slowly, or raise l1_bytes."
	case errors.Is(err, cache.ErrTierFull):
		code, message = pgwire.CodeDiskFull, "the disk tier has no room for the entry"
		hint = "It is in memory only, and gone after a restart. Free disk space, raise l2_bytes, or ask for less durability (pgcache.durability)."
	case errors.Is(err, cache.ErrTierIO):
		code, message = pgwire.CodeIOError, "the disk tier failed"
		hint = "The entry, or what the invalidation covers, is gone from the cache, but perhaps comes back after a restart."
	case errors.Is(err, cache.ErrNoTier):
		code, message = pgwire.CodeFeatureNotSupported, "there is no disk tier to stage the rows in"
		hint = "Start the server with --data-dir, or load fewer rows at a time."
	default:
		return err
	}
	e := pgwire.Errorf(code, "%s", message)
	e.Hint, e.Cause = hint, err
	return e
}
