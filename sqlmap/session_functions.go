package sqlmap

import (
	"runtime"

	"pgcache/pgwire"
	"pgcache/sqlmap/scalar"
	"pgcache/sqlmap/types"
)

// aboutSession makes a function without arguments that asks about the session.
func aboutSession(name string, returns types.OID, f func(s *session) types.Value) []scalar.Function {
	return []scalar.Function{{Name: name, Returns: returns, Call: func(e *scalar.Env, _ []types.Value) (types.Value, error) {
		return f(e.Session.(*session)), nil
	}}}
}

func sessionFunctions(name string) []scalar.Function {
	switch name {
	case "version":
		return aboutSession(name, types.Text, func(s *session) types.Value {
			return types.OfText("PostgreSQL " + s.handler.serverVersion() + " on " + runtime.GOARCH + "-" + runtime.GOOS + ", 64-bit")
		})
	case "current_database", "current_catalog":
		return aboutSession(name, types.Name, func(s *session) types.Value { return types.OfText(s.info.Database) })
	case "current_user", "session_user":
		return aboutSession(name, types.Name, func(s *session) types.Value { return types.OfText(s.info.User) })
	case "current_schema":
		return aboutSession(name, types.Name, func(*session) types.Value { return types.OfText("public") })
	case "pg_backend_pid":
		return aboutSession(name, types.Int4, func(s *session) types.Value { return types.OfInt(int64(int32(s.info.ProcessID))) })
	case "pg_is_in_recovery":
		return aboutSession(name, types.Bool, func(*session) types.Value { return types.OfBool(false) })
	case "pg_postmaster_start_time":
		return aboutSession(name, types.TimestampTZ, func(s *session) types.Value { return types.OfTime(s.handler.config.StartTime) })
	case "getdatabaseencoding", "pg_client_encoding":
		return aboutSession(name, types.Name, func(*session) types.Value { return types.OfText("UTF8") })
	case "pg_advisory_unlock_all":
		return aboutSession(name, types.Void, func(*session) types.Value { return types.Value{} })
	}
	if list := listenFunctions(name); list != nil {
		return list
	}
	if list := backendFunctions(name); list != nil {
		return list
	}
	return settingFunctions(name)
}

func settingFunctions(name string) []scalar.Function {
	switch name {
	case "current_setting":
		get := func(e *scalar.Env, args []types.Value) (types.Value, error) {
			value, ok := e.Session.(*session).settings.get(args[0].Text())
			switch {
			case ok:
				return types.OfText(value), nil
			case len(args) > 1 && args[1].IsTrue():
				return types.Null(), nil
			}
			return types.Value{}, errUnknownSetting(args[0].Text())
		}
		return []scalar.Function{
			{Name: name, Args: []types.OID{types.Text}, Returns: types.Text, Call: get},
			{Name: name, Args: []types.OID{types.Text, types.Bool}, Returns: types.Text, Call: get},
		}
	case "set_config":
		return []scalar.Function{{Name: name, Args: []types.OID{types.Text, types.Text, types.Bool}, Returns: types.Text,
			OnNull: true, IsVolatile: true, Call: setConfig}}
	}
	return nil
}

func setConfig(e *scalar.Env, args []types.Value) (types.Value, error) {
	s := e.Session.(*session)
	if args[0].IsNull {
		return types.Value{}, pgwire.Errorf(pgwire.CodeNotNullViolation, "SET requires parameter name")
	}
	name := args[0].Text()
	isLocal := args[2].IsTrue()
	if isLocal && !s.tx.isOpen {
		value, _ := s.settings.get(name) // as in PostgreSQL, undone at once
		return types.OfText(value), s.settings.check(name, args[1].Text())
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
