package library

import (
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// accessLists are the operators of lists of privileges.
func accessLists() []implementation {
	return []implementation{
		pure("aclcontains(aclitem[],aclitem)", func(a []value) (value, error) {
			grantee, wanted, grantor, ok := splitACL(a[1].Text())
			if !ok {
				return boolean(false), nil
			}
			for _, item := range a[0].Elems {
				g, letters, by, ok := splitACL(item.Text())
				if !ok || g != grantee || by != grantor {
					continue
				}
				contained := true
				for i := range wanted {
					contained = contained && (wanted[i] == '*' || strings.IndexByte(letters, wanted[i]) >= 0)
				}
				if contained {
					return boolean(true), nil
				}
			}
			return boolean(false), nil
		}),
		call("makeaclitem(oid,oid,text,bool)", func(c *schema.Call, a []value) (value, error) {
			grantee, _ := world(c).RoleName(c.Session, types.OID(a[0].Int))
			grantor, _ := world(c).RoleName(c.Session, types.OID(a[1].Int))
			var letters strings.Builder
			names := privilegeNames()
			for _, word := range strings.Split(a[2].Text(), ",") {
				found := false
				for letter, name := range names {
					if strings.EqualFold(strings.TrimSpace(word), name) {
						found = true
						letters.WriteByte(letter)
						if a[3].IsTrue() {
							letters.WriteByte('*')
						}
					}
				}
				if !found {
					return value{}, pgwire.Errorf(pgwire.CodeInvalidParameterValue, "unrecognized privilege type: \"%s\"", strings.TrimSpace(word))
				}
			}
			return text(catalog.QuoteIdentifier(grantee) + "=" + letters.String() + "/" + catalog.QuoteIdentifier(grantor)), nil
		}),
	}
}

// splitACL takes an aclitem apart.
func splitACL(item string) (grantee, letters, grantor string, ok bool) {
	grantee, rest, ok1 := strings.Cut(item, "=")
	letters, grantor, ok2 := strings.Cut(rest, "/")
	return grantee, letters, grantor, ok1 && ok2
}
