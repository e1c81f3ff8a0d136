package sqlmap

import (
	"runtime"
	"slices"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// aboutSession makes a function without arguments that asks about the session.
func aboutSession(name string, returns types.OID, f func(s *session) types.Value) []function {
	return []function{{Name: name, Returns: returns, Call: func(e *schema.Call, _ []types.Value) (types.Value, error) {
		return f(sessionOf(e.Env)), nil
	}}}
}

func sessionFunctions(name string) []function {
	switch name {
	case "version":
		return aboutSession(name, types.Text, func(s *session) types.Value {
			return types.OfText("PostgreSQL " + s.handler.serverVersion() + " on " + runtime.GOARCH + "-" + runtime.GOOS + ", 64-bit")
		})
	case "pg_postmaster_start_time":
		return aboutSession(name, types.TimestampTZ, func(s *session) types.Value { return types.OfTime(s.handler.config.StartTime) })
	case "set_config":
		return []function{{Name: name, Args: []types.OID{types.Text, types.Text, types.Bool}, Returns: types.Text,
			OnNull: true, IsVolatile: true, Call: setConfig}}
	case "pg_advisory_unlock_all":
		return aboutSession(name, types.Void, func(s *session) types.Value {
			s.unlockSession()
			return types.Value{}
		})
	}
	if slices.Contains(advisoryNames, name) {
		return advisoryFunctions(name)
	}
	if list := monitorFunctions(name); list != nil {
		return list
	}
	if list := listenFunctions(name); list != nil {
		return list
	}
	if list := backendFunctions(name); list != nil {
		return list
	}
	return nil
}

func setConfig(e *schema.Call, args []types.Value) (types.Value, error) {
	s := sessionOf(e.Env)
	if args[0].IsNull {
		return types.Value{}, pgwire.Errorf(pgwire.CodeNotNullViolation, "SET requires parameter name")
	}
	name := args[0].Text()
	isLocal := args[2].IsTrue()
	if isLocal && !s.tx.isOpen {
		value := args[1].Text() // as in PostgreSQL, undone at once
		return types.OfText(value), s.settings.check(name, value)
	}
	var err error
	if args[1].IsNull {
		err = s.settings.reset(name, isLocal)
	} else {
		err = s.settings.set(name, args[1].Text(), isLocal)
	}
	value, _ := s.settings.get(name)
	return types.OfText(value), err
}
