package pgwire

// Role is what a user may do. The zero Role may do nothing, so that a session which nobody
// gave one is of no use to anybody.
type Role uint8

const (
	RoleNone      Role = iota
	RoleReadOnly       // reads
	RoleReadWrite      // reads and changes
	RoleAdmin          // everything: other sessions and the server too
)

// RoleNames are the roles a user can have, as users files and messages write them.
func RoleNames() []string {
	return []string{RoleReadOnly.String(), RoleReadWrite.String(), RoleAdmin.String()}
}

func (r Role) String() string {
	switch r {
	case RoleReadOnly:
		return "readonly"
	case RoleReadWrite:
		return "readwrite"
	case RoleAdmin:
		return "admin"
	}
	return "none"
}

// ParseRole reads what String writes.
func ParseRole(text string) (Role, bool) {
	for _, r := range []Role{RoleReadOnly, RoleReadWrite, RoleAdmin} {
		if r.String() == text {
			return r, true
		}
	}
	return RoleNone, false
}

// Identity is what a session may do, decided when its client authenticated. The server
// looks at the role only (slots reserved for administrators); the handler enforces the rest.
type Identity struct {
	Role Role
	// Namespaces are prefixes of the names that the session may address; nil: all names.
	Namespaces []string
}
