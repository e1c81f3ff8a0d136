package sqlmap

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
)

// standardSettings are PostgreSQL's run-time parameters. Those that are no variable of ours
// have no effect: clients read them, and set those that PostgreSQL lets them set.
type standardSettings []catalog.Setting

// standardSettings tells of the server what PostgreSQL has a name for.
func (h *Handler) standardSettings() standardSettings {
	list := standardSettings(catalog.Settings())
	for _, own := range h.config.Settings {
		switch own.Name {
		case "max_connections":
			list.find("max_connections").Value = own.Value
		case "reserved_connections":
			list.find("superuser_reserved_connections").Value = own.Value
		case "tls_cert":
			if own.Value != "" {
				list.find("ssl").Value = "on"
			}
		}
	}
	return list
}

// find returns nil if there is none.
func (list standardSettings) find(name string) *catalog.Setting {
	lower := strings.ToLower(name)
	i, ok := slices.BinarySearchFunc(list, lower, func(s catalog.Setting, name string) int {
		return strings.Compare(strings.ToLower(s.Name), name)
	})
	if !ok {
		return nil
	}
	return &list[i]
}

// Units, the greatest first, in terms of the smallest.
type unit struct {
	name string
	size float64
}

func timeUnits() []unit {
	return []unit{{"d", 24 * 3600e6}, {"h", 3600e6}, {"min", 60e6}, {"s", 1e6}, {"ms", 1e3}, {"us", 1}}
}

func byteUnits() []unit {
	return []unit{{"TB", 1 << 40}, {"GB", 1 << 30}, {"MB", 1 << 20}, {"kB", 1 << 10}, {"B", 1}}
}

// unitsOf are the units that a setting's may be given in, and the size of its own.
func unitsOf(name string) (list []unit, size float64) {
	if name == "8kB" {
		return byteUnits(), 8 << 10
	}
	for _, list := range [][]unit{timeUnits(), byteUnits()} {
		for _, u := range list {
			if u.name == name {
				return list, u.size
			}
		}
	}
	return nil, 1
}

// withUnit is a value as SHOW prints it: in the greatest unit that divides it.
func withUnit(value, of string) string {
	units, size := unitsOf(of)
	n, err := strconv.ParseFloat(value, 64)
	if units == nil || err != nil || n <= 0 {
		return value
	}
	for _, u := range units {
		if whole := n * size / u.size; whole == math.Trunc(whole) {
			return strconv.FormatFloat(whole, 'f', -1, 64) + u.name
		}
	}
	return value + of
}

// normalize checks a value and writes it as pg_settings does, in the setting's unit.
func normalize(s *catalog.Setting, value string) (string, error) {
	invalid := pgwire.Errorf(pgwire.CodeInvalidParameterValue, "invalid value for parameter \"%s\": \"%s\"", s.Name, value)
	switch s.Type {
	case "bool":
		normal, ok := checkBool(value)
		if !ok {
			return "", pgwire.Errorf(pgwire.CodeInvalidParameterValue, "parameter \"%s\" requires a Boolean value", s.Name)
		}
		return normal, nil
	case "enum":
		normal, ok := checkWord(s.Words, value)
		if !ok {
			invalid.Hint = "Available values: " + strings.Join(s.Words, ", ") + "."
			return "", invalid
		}
		return normal, nil
	case "integer", "real":
		return normalizeNumber(s, value, invalid)
	}
	return value, nil
}

// checkWord accepts a word of an enum; where those are "on" and "off", other words for them.
func checkWord(words []string, value string) (string, bool) {
	if normal, ok := oneOf(words...)(value); ok {
		return normal, ok
	}
	normal, ok := checkBool(value)
	return normal, ok && slices.Contains(words, normal)
}

func normalizeNumber(s *catalog.Setting, value string, invalid *pgwire.Error) (string, error) {
	units, size := unitsOf(s.Unit)
	number := strings.TrimSpace(value)
	factor := 1.0
	if i := strings.LastIndexAny(number, "0123456789."); i >= 0 && i < len(number)-1 {
		given := strings.TrimSpace(number[i+1:])
		at := slices.IndexFunc(units, func(u unit) bool { return u.name == given })
		if at < 0 {
			if units != nil {
				invalid.Hint = "Valid units for this parameter are " + unitNames(units) + "."
			}
			return "", invalid
		}
		factor, number = units[at].size/size, number[:i+1]
	}
	n, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return "", invalid
	}
	n *= factor
	if s.Type == "integer" {
		n = math.RoundToEven(n)
	}
	low, _ := strconv.ParseFloat(s.Min, 64)
	high, _ := strconv.ParseFloat(s.Max, 64)
	if !(n >= low && n <= high) {
		text := func(bound string) string { return strings.TrimSpace(bound + " " + s.Unit) }
		return "", pgwire.Errorf(pgwire.CodeInvalidParameterValue, "%s is outside the valid range for parameter \"%s\" (%s .. %s)",
			text(strconv.FormatFloat(n, 'g', -1, 64)), s.Name, text(s.Min), text(s.Max))
	}
	return strconv.FormatFloat(n, 'f', -1, 64), nil
}

func unitNames(units []unit) string {
	names := make([]string, len(units))
	for i, u := range units {
		names[len(units)-1-i] = `"` + u.name + `"`
	}
	return strings.Join(names[:len(names)-1], ", ") + ", and " + names[len(names)-1]
}

// mayChange reports why a session cannot change a setting.
func mayChange(s *catalog.Setting, isSuperuser bool) error {
	switch s.Context {
	case "user":
		return nil
	case "superuser":
		if isSuperuser {
			return nil
		}
		return pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "permission denied to set parameter \"%s\"", s.Name)
	case "backend", "superuser-backend":
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be set after connection start", s.Name)
	case "sighup":
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed now", s.Name)
	case "postmaster":
		return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed without restarting the server", s.Name)
	}
	return pgwire.Errorf(pgwire.CodeCantChangeRuntimeParam, "parameter \"%s\" cannot be changed", s.Name)
}
