package library

import (
	"errors"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// validation are the functions that try what would be an error elsewhere, and those about types.
func validation() []implementation {
	return []implementation{
		call("pg_input_is_valid(text,text)", func(c *schema.Call, a []value) (value, error) {
			bad, err := inputError(c, a)
			return boolean(bad == nil), err
		}),
		call("pg_input_error_info(text,text)", func(c *schema.Call, a []value) (value, error) {
			bad, err := inputError(c, a)
			if err != nil || bad == nil {
				return unknownRow(c), err
			}
			orNull := func(s string) value {
				if s == "" {
					return types.Null()
				}
				return text(s)
			}
			return c.Row(text(bad.Message), orNull(bad.Detail), orNull(bad.Hint), text(string(bad.Code))), nil
		}),
		call("pg_basetype(regtype)", func(c *schema.Call, a []value) (value, error) {
			t := c.Catalog.Type(types.OID(a[0].Int))
			if t == nil {
				return null()
			}
			for t.Kind == 'd' {
				t = c.Catalog.Type(t.Base)
			}
			return number(int64(t.OID)), nil
		}),
		call("to_regtypemod(text)", func(c *schema.Call, a []value) (value, error) {
			oid, modifiers, err := world(c).ParseType(a[0].Text(), c.Session.SearchPath())
			if err != nil {
				return null()
			}
			return number(typmodOf(oid, modifiers)), nil
		}),
		call("pg_settings_get_flags(text)", settingFlags),
	}
}

// inputError is what is wrong with a text for a type, nil if nothing is.
func inputError(c *schema.Call, a []value) (bad *pgwire.Error, err error) {
	oid, modifiers, err := world(c).ParseType(a[1].Text(), c.Session.SearchPath())
	if err != nil {
		return nil, err
	}
	if t := c.Catalog.Type(oid); t != nil && t.Kind == 'd' {
		oid = t.Base
	}
	v, err := types.ParseText(oid, a[0].Bytes, &c.Style)
	if err == nil {
		err = tooLong(v, oid, modifiers)
	}
	if errors.As(err, &bad) {
		return bad, nil
	}
	return nil, err
}

// settingFlags are the flags of a run-time parameter, as far as its category tells them.
func settingFlags(c *schema.Call, a []value) (value, error) {
	found, err := world(c).Find(c.Env, "pg_settings", "", value{})
	for _, t := range found {
		if !strings.EqualFold(t.Text("name"), a[0].Text()) {
			continue
		}
		var flags []value
		switch category := t.Text("category"); {
		case strings.HasPrefix(category, "Query Tuning"):
			flags = append(flags, text("EXPLAIN"))
		case category == "Developer Options", category == "Preset Options":
			flags = append(flags, text("NOT_IN_SAMPLE"))
		}
		return types.OfArray(flags), nil
	}
	return types.Null(), err
}

// sequences are the functions of sequences, of which there are none.
func sequences() []implementation {
	noSequence := func(c *schema.Call, a []value) (value, error) {
		class, ok, err := world(c).FindOne(c.Env, "pg_class", types.OID(a[0].Int))
		switch {
		case err != nil:
			return value{}, err
		case !ok:
			return value{}, pgwire.Errorf(pgwire.CodeUndefinedTable, "could not open relation with OID %d", a[0].Int)
		}
		e := pgwire.Errorf(pgwire.CodeWrongObjectType, "cannot open relation \"%s\"", class.Text("relname"))
		e.Detail = "This operation is not supported for " + relationKind(class.Text("relkind")) + "s."
		return value{}, e
	}
	var out []implementation
	for _, signature := range []string{"nextval(regclass)", "currval(regclass)", "setval(regclass,int8)", "setval(regclass,int8,bool)",
		"pg_sequence_last_value(regclass)", "pg_sequence_parameters(oid)"} {
		out = append(out, call(signature, noSequence))
	}
	return out
}

// absent are the functions about what objects here never have: partitions, files, compression.
func absent() []implementation {
	var out []implementation
	for _, signature := range []string{"pg_partition_root(regclass)", "pg_filenode_relation(oid,oid)", "pg_column_compression(any)", "pg_column_toast_chunk_id(any)",
		"icu_unicode_version()", "pg_get_statisticsobjdef_expressions(oid)", "pg_indexam_progress_phasename(oid,int8)"} {
		out = append(out, constant(signature, types.Null()))
	}
	return append(out,
		constant("row_security_active(text)", boolean(false)), constant("pg_safe_snapshot_blocking_pids(int4)", array()),
		constant("pg_isolation_test_session_is_blocked(int4,int4[])", boolean(false)), none("pg_extension_update_paths(name)"))
}

// charHeader is what PostgreSQL adds to a length to make a type modifier of it.
const charHeader = 4

// tooLong is the error of a text or number that a type modifier excludes.
func tooLong(v value, oid types.OID, modifiers []int64) error {
	var err error
	switch {
	case len(modifiers) == 0:
	case oid == types.VarChar || oid == types.BPChar:
		_, err = limitCharacters(oid, []value{v, number(typmodOf(oid, modifiers)), boolean(false)})
	case oid == types.Bit || oid == types.VarBit:
		_, err = limitBits(oid, []value{v, number(typmodOf(oid, modifiers)), boolean(false)})
	case oid == types.Numeric:
		_, err = types.LimitNumeric(v, int32(typmodOf(oid, modifiers)))
	}
	return err
}

// typmodOf is a modifier as pg_attribute has it, -1 if there is none.
func typmodOf(oid types.OID, modifiers []int64) int64 {
	switch {
	case len(modifiers) == 0:
		return -1
	case oid == types.VarChar || oid == types.BPChar:
		return modifiers[0] + charHeader
	case oid == types.Numeric:
		scale := int64(0)
		if len(modifiers) > 1 {
			scale = modifiers[1]
		}
		return modifiers[0]<<16 | scale&0x7ff + charHeader
	}
	return modifiers[0]
}
