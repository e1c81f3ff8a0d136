package sqlmap

import (
	"cmp"
	"slices"
	"strings"

	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// settingOfSession is a run-time parameter with its value in a session.
type settingOfSession struct {
	catalog.Setting
	value, boot, reset, description string
}

// all are the run-time parameters that a session has, sorted by lower-case name, those of the
// client's own left out.
func (s *sessionSettings) all() []settingOfSession {
	var list []settingOfSession
	for i := range s.variables {
		v := &s.variables[i]
		if v.isHidden {
			continue
		}
		row := settingOfSession{value: s.values.at(i), boot: v.initial, reset: s.initial.at(i), description: v.description}
		if known := s.standard.find(v.name); known != nil {
			row.Setting = *known
		} else {
			row.Setting = catalog.Setting{Name: v.name, Type: "string", Context: "user", Category: "Customized Options"}
		}
		list = append(list, row)
	}
	for i := range s.standard {
		if known := &s.standard[i]; s.find(known.Name) < 0 {
			list = append(list, settingOfSession{*known, s.standardValue(known), known.Value, known.Value, ignoredSetting})
		}
	}
	slices.SortFunc(list, func(a, b settingOfSession) int { return cmp.Compare(strings.ToLower(a.Name), strings.ToLower(b.Name)) })
	return list
}

// settingRows are the rows of pg_settings: the session's, and the settings of the server,
// which it cannot change.
func settingRows(env *schema.Env) ([]catalog.Row, error) {
	s := sessionOf(env)
	text := types.OfText
	var rows []catalog.Row
	isOwn := make(map[string]bool)
	for _, v := range s.settings.all() {
		isOwn[v.Name] = true
		source := "default"
		if v.value != v.boot {
			source = "session"
		}
		row := catalog.Row{"name": text(v.Name), "setting": text(v.value), "category": text(v.Category), "short_desc": text(v.description),
			"context": text(v.Context), "vartype": text(v.Type), "source": text(source), "boot_val": text(v.boot), "reset_val": text(v.reset),
			"pending_restart": types.OfBool(false)}
		for _, optional := range []struct{ name, value string }{{"unit", v.Unit}, {"min_val", v.Min}, {"max_val", v.Max}} {
			if optional.value != "" {
				row[optional.name] = text(optional.value)
			}
		}
		if v.Type == "enum" {
			row["enumvals"] = labels(v.Words)
		}
		rows = append(rows, row)
	}
	for _, setting := range s.serverSettings() {
		name := ownSettingPrefix + setting.Name
		if isOwn[name] {
			continue // the session has one of its own
		}
		row := catalog.Row{"name": text(name), "setting": text(setting.Value), "category": text("pgcache"), "short_desc": text(setting.Description),
			"context": text("postmaster"), "vartype": text("string"), "source": text(setting.Source), "pending_restart": types.OfBool(false)}
		if setting.Unit != "" {
			row["unit"] = text(setting.Unit)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
