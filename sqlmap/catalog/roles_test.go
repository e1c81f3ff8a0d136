package catalog

import (
	"fmt"
	"testing"

	"pgcache/sqlmap/types"
)

func TestRolesHaveStableOIDs(t *testing.T) {
	few, many := NewRoles([]User{{Name: "b"}}), NewRoles([]User{{Name: "c"}, {Name: "b"}, {Name: "a"}})
	one, _ := few.Named("b")
	other, ok := many.Named("b")
	if !ok || one.OID != other.OID {
		t.Errorf("b is %+v among few and %+v among many", one, other)
	}
	if one.OID < userOIDsFrom || one.OID >= userOIDsTo || !one.CanLogin {
		t.Errorf("b is %+v", one)
	}
	if role, ok := many.ByOID(one.OID); !ok || role.Name != "b" {
		t.Errorf("the role with the OID of b is %+v", role)
	}
}

func TestNamesWithOneOID(t *testing.T) {
	seen := make(map[types.OID]string)
	for i := 0; ; i++ {
		name := fmt.Sprint("user", i)
		oid := userOID(name)
		first, collides := seen[oid]
		seen[oid] = name
		if !collides {
			continue
		}
		roles := NewRoles([]User{{Name: name}, {Name: first}})
		a, _ := roles.Named(min(first, name))
		b, _ := roles.Named(max(first, name))
		if a.OID != oid || b.OID == oid {
			t.Errorf("%s has %d and %s has %d: one of them collides with the other", a.Name, a.OID, b.Name, b.OID)
		}
		return
	}
}

func TestOwnerIsAUserOnlyIfThereIsOne(t *testing.T) {
	owner, _ := NewRoles(nil).Named(Owner)
	if owner.OID != OwnerOID || owner.CanLogin || !owner.IsSuper {
		t.Errorf("without a user of that name the owner is %+v", owner)
	}
	owner, _ = NewRoles([]User{{Name: Owner, Group: GroupReadOnly}}).Named(Owner)
	if owner.OID != OwnerOID || !owner.CanLogin || owner.IsSuper {
		t.Errorf("a reader of the owner's name is %+v", owner)
	}
}
