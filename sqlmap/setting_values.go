package sqlmap

import (
	"slices"
	"strings"

	"pgcache/pgwire"
)

// settingValues are values of run-time parameters, by position in variables: those that all
// sessions share, and the few in which one differs. Immutable, so that a session needs no more
// than one copy of what it has, goes back to and has reported.
type settingValues struct {
	shared []string
	own    []ownSetting // sorted by position
}

type ownSetting struct {
	position int
	value    string
}

func (v settingValues) at(i int) string {
	for k := range v.own {
		if v.own[k].position == i {
			return v.own[k].value
		}
	}
	return v.shared[i]
}

// with is v with another value at a position.
func (v settingValues) with(i int, value string) settingValues {
	at, found := slices.BinarySearchFunc(v.own, i, func(o ownSetting, i int) int { return o.position - i })
	own := make([]ownSetting, 0, len(v.own)+1)
	own = append(own, v.own[:at]...)
	if value != v.shared[i] {
		own = append(own, ownSetting{i, strings.Clone(value)})
	}
	if found {
		at++
	}
	return settingValues{v.shared, append(own, v.own[at:]...)}
}

// initialValues are those that sessions of a role begin with.
type initialValues [pgwire.RoleAdmin + 1][]string

func initialValuesOf(list []variable) initialValues {
	var all initialValues
	for role := range all {
		values := make([]string, len(list))
		for i, v := range list {
			values[i] = v.initial
			switch {
			case v.name == "is_superuser" && pgwire.Role(role) == pgwire.RoleAdmin:
				values[i] = "on"
			case v.name == "default_transaction_read_only" && pgwire.Role(role) == pgwire.RoleReadOnly:
				values[i] = "on" // what clients ask that look for a server to write to
			}
		}
		all[role] = values
	}
	return all
}
