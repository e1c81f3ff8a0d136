package main

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// resolveFunctions replaces the names of functions by their OIDs.
func (s *source) resolveFunctions() error {
	procs := s.tables["pg_catalog.pg_proc"]
	byName := make(map[string][][]*string)
	byOID := make(map[string][]*string)
	for _, row := range procs.rows {
		name := procs.cell(row, "proname")
		byName[name] = append(byName[name], row)
		byOID[procs.cell(row, "oid")] = row
	}
	for table, t := range s.tables {
		for i, typeName := range t.types {
			if typeName != "regproc" {
				continue
			}
			for _, row := range t.rows {
				if row[i] == nil || byOID[*row[i]] != nil || *row[i] == "0" {
					continue
				}
				oid, err := s.resolve(table, t, row, *row[i], byName)
				if err != nil {
					return err
				}
				row[i] = &oid
			}
		}
	}
	return nil
}

// resolve finds the OID of a name, by the rest of its row where there are several.
func (s *source) resolve(table string, t *table, row []*string, name string, byName map[string][][]*string) (string, error) {
	if name == "-" {
		return "0", nil
	}
	procs := s.tables["pg_catalog.pg_proc"]
	candidates := byName[strings.TrimPrefix(strings.TrimPrefix(name, "pg_catalog."), "information_schema.")]
	fits := func([]*string) bool { return true }
	switch table {
	case "pg_catalog.pg_operator":
		wanted := strings.TrimPrefix(t.cell(row, "oprleft")+" "+t.cell(row, "oprright"), "0 ")
		fits = func(p []*string) bool { return procs.cell(p, "proargtypes") == wanted }
	case "pg_catalog.pg_amproc":
		prefix := t.cell(row, "amproclefttype")
		fits = func(p []*string) bool {
			return !strings.HasSuffix(name, "in_range") || strings.HasPrefix(procs.cell(p, "proargtypes"), prefix+" "+prefix+" "+t.cell(row, "amprocrighttype")+" ")
		}
	case "pg_catalog.pg_aggregate":
		fits = s.aggregateFits(t, row, byName)
	}
	if len(candidates) == 1 {
		return procs.cell(candidates[0], "oid"), nil
	}
	for _, p := range candidates {
		if fits(p) {
			return procs.cell(p, "oid"), nil
		}
	}
	return "", fmt.Errorf("%s: no function %s", table, name)
}

// aggregateFits tells the aggregate of a row of pg_aggregate by its support functions: the
// transition function takes the state and the arguments, the final function makes the result.
func (s *source) aggregateFits(t *table, row []*string, byName map[string][][]*string) func(p []*string) bool {
	procs := s.tables["pg_catalog.pg_proc"]
	first := func(column string) []*string {
		if list := byName[t.cell(row, column)]; len(list) > 0 {
			return list[0]
		}
		return nil
	}
	transition, final := first("aggtransfn"), first("aggfinalfn")
	return func(p []*string) bool {
		if procs.cell(p, "prokind") != "a" {
			return false
		}
		args := procs.cell(p, "proargtypes")
		if t.cell(row, "aggkind") != "n" {
			_, direct, _ := strings.Cut(procs.cell(final, "proargtypes"), " ")
			return procs.cell(final, "prorettype") == procs.cell(p, "prorettype") && (direct == args || strings.HasPrefix(args, direct) || procs.cell(p, "provariadic") != "0")
		}
		_, wanted, _ := strings.Cut(procs.cell(transition, "proargtypes"), " ")
		return wanted == args
	}
}

// constant is a constant in a node tree.
var constant = regexp.MustCompile(`\{CONST :consttype (\d+) [^{}]*:constisnull (true|false) [^{}]*:constvalue (?:<>|(\d+) \[([-\d ]*)\])\}`)

// defaultsOf makes SQL of the default values of arguments, which are constants, perhaps
// in a cast.
func defaultsOf(tree string, typeName func(oid string) string) (string, error) {
	var out []string
	for _, m := range constant.FindAllStringSubmatch(tree, -1) {
		var raw []byte
		for _, field := range strings.Fields(m[4]) {
			n, err := strconv.Atoi(field)
			if err != nil {
				return "", err
			}
			raw = append(raw, byte(n))
		}
		text, err := constantText(m[1], m[2] == "true", raw, typeName(m[1]))
		if err != nil {
			return "", err
		}
		out = append(out, text)
	}
	return strings.Join(out, ", "), nil
}

func constantText(oid string, isNull bool, raw []byte, typeName string) (string, error) {
	const varlenaHeader = 4
	switch {
	case isNull:
		return "NULL::" + typeName, nil
	case oid == "16":
		return strconv.FormatBool(raw[0] != 0), nil
	case oid == "23":
		return strconv.Itoa(int(int32(uint32(raw[0]) | uint32(raw[1])<<8 | uint32(raw[2])<<16 | uint32(raw[3])<<24))), nil
	case oid == "25":
		return "'" + strings.ReplaceAll(string(raw[varlenaHeader:]), "'", "''") + "'::text", nil
	case oid == "3802" && len(raw) == 2*varlenaHeader:
		return "'{}'::jsonb", nil
	case oid == "1700" && len(raw) == varlenaHeader+2: // no digits
		return "0", nil
	case oid == "1009":
		return "'{}'::text[]", nil
	}
	return "", fmt.Errorf("a default of type %s: % x", typeName, raw)
}
