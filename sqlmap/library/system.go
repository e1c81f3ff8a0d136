package library

import (
	"fmt"
	"slices"
	"strings"

	"pgcache/pgwire"
	"pgcache/sqlmap/catalog"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// world is the catalog that a call asks about.
func world(c *schema.Call) *catalog.Catalog { return c.Catalog.(*catalog.Catalog) }

// about makes a function of one OID that answers a text, NULL if there is no such object.
func about(signature string, f func(c *schema.Call, oid types.OID, a []value) (string, bool, error)) implementation {
	return call(signature, func(c *schema.Call, a []value) (value, error) {
		s, ok, err := f(c, types.OID(a[0].Int), a)
		if err != nil || !ok {
			return types.Null(), err
		}
		return text(s), nil
	})
}

// OIDs of system tables, as descriptions name what they are about.
const (
	classOfRelations = 1259
	classOfDatabases = 1262
)

// descriptions are the comments on objects, and how types are written.
func descriptions() []implementation {
	return []implementation{
		about("obj_description(oid)", func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
			return world(c).Description(c.Env, 0, oid, 0)
		}),
		about("obj_description(oid,name)", func(c *schema.Call, oid types.OID, a []value) (string, bool, error) {
			table := world(c).Relation(catalog.System, a[1].Text())
			if table == nil {
				return "", false, nil
			}
			return world(c).Description(c.Env, table.OID, oid, 0)
		}),
		about("col_description(oid,int4)", func(c *schema.Call, oid types.OID, a []value) (string, bool, error) {
			return world(c).Description(c.Env, classOfRelations, oid, a[1].Int)
		}),
		about("shobj_description(oid,name)", func(c *schema.Call, oid types.OID, a []value) (string, bool, error) {
			table := world(c).Relation(catalog.System, a[1].Text())
			if table == nil {
				return "", false, nil
			}
			found, err := world(c).Find(c.Env, "pg_shdescription", "objoid", number(int64(oid)))
			for _, row := range found {
				if row.OID("classoid") == table.OID {
					return row.Text("description"), true, err
				}
			}
			return "", false, err
		}),
		call("format_type(oid,int4)", func(c *schema.Call, a []value) (value, error) {
			if a[0].IsNull {
				return a[0], nil
			}
			typmod := int32(catalog.NoModifier)
			if !a[1].IsNull {
				typmod = int32(a[1].Int)
			}
			return text(world(c).FormatType(types.OID(a[0].Int), typmod, c.Session.SearchPath())), nil
		}),
		call("oidvectortypes(oidvector)", func(c *schema.Call, a []value) (value, error) {
			parts := make([]string, len(a[0].Elems))
			for i, e := range a[0].Elems {
				parts[i] = world(c).FormatType(types.OID(e.Int), catalog.NoModifier, c.Session.SearchPath())
			}
			return text(strings.Join(parts, ", ")), nil
		}),
		call("pg_get_userbyid(oid)", func(c *schema.Call, a []value) (value, error) {
			name, ok := world(c).RoleName(c.Session, types.OID(a[0].Int))
			if !ok {
				name = fmt.Sprintf("unknown (OID=%d)", a[0].Int)
			}
			return text(name), nil
		}),
	}
}

// definitions are the SQL that would make objects.
func definitions() []implementation {
	var out []implementation
	for _, suffix := range []string{"(oid)", "(oid,bool)"} {
		out = append(out,
			about("pg_get_constraintdef"+suffix, func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
				return world(c).ConstraintDefinition(c.Env, oid)
			}),
			viewDefinition("pg_get_viewdef"+suffix),
			about("pg_get_ruledef"+suffix, func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
				rule, ok, err := world(c).FindOne(c.Env, "pg_rewrite", oid)
				if err != nil || !ok {
					return "", false, err
				}
				view, _ := world(c).ViewDefinition(rule.OID("ev_class"))
				name, _ := world(c).Names(nil).Show(types.RegClass, rule.OID("ev_class"))
				return `CREATE RULE "_RETURN" AS ON SELECT TO ` + name + " DO INSTEAD " + view, true, nil
			}),
			about("pg_get_triggerdef"+suffix, nothing))
	}
	for _, signature := range []string{"pg_get_expr(pg_node_tree,oid)", "pg_get_expr(pg_node_tree,oid,bool)"} {
		out = append(out, pure(signature, func(a []value) (value, error) { return a[0], nil })) // they are kept as text
	}
	return append(out,
		viewDefinition("pg_get_viewdef(oid,int4)"), viewDefinition("pg_get_viewdef(text)"), viewDefinition("pg_get_viewdef(text,bool)"),
		about("pg_get_indexdef(oid)", func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
			return world(c).IndexDefinition(c.Env, oid, 0, false)
		}),
		about("pg_get_indexdef(oid,int4,bool)", func(c *schema.Call, oid types.OID, a []value) (string, bool, error) {
			return world(c).IndexDefinition(c.Env, oid, a[1].Int, a[2].IsTrue())
		}),
		about("pg_get_partkeydef(oid)", nothing), about("pg_get_partition_constraintdef(oid)", nothing),
		about("pg_get_statisticsobjdef(oid)", nothing), about("pg_get_statisticsobjdef_columns(oid)", nothing),
		call("pg_get_serial_sequence(text,text)", func(c *schema.Call, a []value) (value, error) {
			_, err := c.Style.Names.Find(types.RegClass, a[0].Text())
			return types.Null(), err // no column has one
		}))
}

// nothing is about objects that pgcache has none of.
func nothing(*schema.Call, types.OID, []value) (string, bool, error) { return "", false, nil }

// viewDefinition takes an OID, or a name.
func viewDefinition(signature string) implementation {
	return call(signature, func(c *schema.Call, a []value) (value, error) {
		oid := types.OID(a[0].Int)
		if strings.Contains(signature, "(text") {
			var err error
			if oid, err = c.Style.Names.Find(types.RegClass, a[0].Text()); err != nil {
				return value{}, err
			}
		}
		s, ok := world(c).ViewDefinition(oid)
		if !ok {
			return null()
		}
		return text(s), nil
	})
}

// functionDefinitions describe functions.
func functionDefinitions() []implementation {
	describe := func(signature string, f func(w *catalog.Catalog, fn *schema.Function, path []string) (string, bool)) implementation {
		return about(signature, func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
			fn := world(c).FunctionByOID(oid)
			if fn == nil {
				return "", false, nil
			}
			s, ok := f(world(c), fn, c.Session.SearchPath())
			return s, ok, nil
		})
	}
	return []implementation{
		describe("pg_get_function_arguments(oid)", func(w *catalog.Catalog, fn *schema.Function, path []string) (string, bool) {
			return w.FunctionArguments(fn, true, path), true
		}),
		describe("pg_get_function_identity_arguments(oid)", func(w *catalog.Catalog, fn *schema.Function, path []string) (string, bool) {
			return w.FunctionArguments(fn, false, path), true
		}),
		describe("pg_get_function_result(oid)", func(w *catalog.Catalog, fn *schema.Function, path []string) (string, bool) {
			return w.FunctionResult(fn, path), fn.Kind != 'p'
		}),
		about("pg_get_functiondef(oid)", func(c *schema.Call, oid types.OID, _ []value) (string, bool, error) {
			fn := world(c).FunctionByOID(oid)
			if fn == nil {
				return "", false, nil
			}
			if fn.Kind == 'a' {
				return "", false, pgwire.Errorf(pgwire.CodeWrongObjectType, "\"%s\" is an aggregate function", fn.Name)
			}
			return world(c).FunctionDefinition(fn, c.Session.SearchPath()), true, nil
		}),
		about("pg_get_function_sqlbody(oid)", nothing),
		about("pg_get_function_arg_default(oid,int4)", nothing),
	}
}

// visibility tells whether a name alone finds an object.
func visibility() []implementation {
	isVisible := func(c *schema.Call, schemaName string, hides func(earlier string) bool) value {
		for _, s := range c.Session.SearchPath() {
			if s == schemaName {
				return boolean(true)
			}
			if hides(s) {
				break
			}
		}
		return boolean(false)
	}
	named := func(name, table, column, schemaColumn string) implementation {
		return call(name+"(oid)", func(c *schema.Call, a []value) (value, error) {
			row, ok, err := world(c).FindOne(c.Env, table, types.OID(a[0].Int))
			if err != nil || !ok {
				return types.Null(), err
			}
			return isVisible(c, world(c).SchemaName(row.OID(schemaColumn)), func(earlier string) bool {
				switch table {
				case "pg_class":
					return world(c).Relation(earlier, row.Text(column)) != nil
				case "pg_type":
					return world(c).TypeNamed(earlier, row.Text(column)) != nil
				}
				return false
			}), nil
		})
	}
	out := []implementation{
		named("pg_table_is_visible", "pg_class", "relname", "relnamespace"), named("pg_type_is_visible", "pg_type", "typname", "typnamespace"),
		named("pg_collation_is_visible", "pg_collation", "collname", "collnamespace"), named("pg_operator_is_visible", "pg_operator", "oprname", "oprnamespace"),
		named("pg_opclass_is_visible", "pg_opclass", "opcname", "opcnamespace"), named("pg_opfamily_is_visible", "pg_opfamily", "opfname", "opfnamespace"),
		named("pg_conversion_is_visible", "pg_conversion", "conname", "connamespace"), named("pg_ts_config_is_visible", "pg_ts_config", "cfgname", "cfgnamespace"),
		named("pg_ts_dict_is_visible", "pg_ts_dict", "dictname", "dictnamespace"), named("pg_ts_parser_is_visible", "pg_ts_parser", "prsname", "prsnamespace"),
		named("pg_ts_template_is_visible", "pg_ts_template", "tmplname", "tmplnamespace"), named("pg_statistics_obj_is_visible", "pg_statistic_ext", "stxname", "stxnamespace"),
		call("pg_function_is_visible(oid)", func(c *schema.Call, a []value) (value, error) {
			fn := world(c).FunctionByOID(types.OID(a[0].Int))
			if fn == nil {
				return null()
			}
			return isVisible(c, fn.Schema, func(earlier string) bool {
				return slices.ContainsFunc(world(c).Functions(earlier, fn.Name), func(f *schema.Function) bool { return slices.Equal(f.Args, fn.Args) })
			}), nil
		}),
	}
	for name, reg := range map[string]types.OID{"to_regclass": types.RegClass, "to_regtype": types.RegType, "to_regproc": types.RegProc, "to_regprocedure": types.RegProcedure,
		"to_regoper": types.RegOper, "to_regoperator": types.RegOperator, "to_regnamespace": types.RegNamespace, "to_regrole": types.RegRole, "to_regcollation": types.RegCollation} {
		out = append(out, call(name+"(text)", func(c *schema.Call, a []value) (value, error) {
			v, err := types.ParseText(reg, a[0].Bytes, &c.Style)
			if err != nil {
				return null()
			}
			return v, nil
		}))
	}
	return out
}

// informationSchema are the functions that its views use.
func informationSchema() []implementation {
	const header = 4
	make2 := func(name string, f func(t types.OID, typmod int64) (int64, bool)) implementation {
		return pure("information_schema."+name+"(oid,int4)", func(a []value) (value, error) {
			n, ok := f(types.OID(a[0].Int), a[1].Int)
			if !ok {
				return null()
			}
			return number(n), nil
		})
	}
	length := func(t types.OID, typmod int64) (int64, bool) {
		switch {
		case typmod == -1:
			return 0, false
		case t == types.BPChar || t == types.VarChar:
			return typmod - header, true
		}
		return typmod, t == types.Bit || t == types.VarBit
	}
	return append(append(informationNumbers(make2), trueTypes()...),
		make2("_pg_char_max_length", length),
		make2("_pg_char_octet_length", func(t types.OID, typmod int64) (int64, bool) {
			const unlimited, bytesPerCharacter = 1 << 30, 4
			switch {
			case t != types.Text && t != types.BPChar && t != types.VarChar:
				return 0, false
			case typmod == -1:
				return unlimited, true
			}
			n, _ := length(t, typmod)
			return n * bytesPerCharacter, true
		}),
		make2("_pg_datetime_precision", func(t types.OID, typmod int64) (int64, bool) {
			const full, any = 6, 0xffff
			switch t {
			case types.Date:
				return 0, true
			case types.Time, types.TimeTZ, types.Timestamp, types.TimestampTZ:
				if typmod < 0 {
					return full, true
				}
				return typmod, true
			case types.Interval:
				if typmod < 0 || typmod&any == any {
					return full, true
				}
				return typmod & any, true
			}
			return 0, false
		}),
		pure("information_schema._pg_interval_type(oid,int4)", func([]value) (value, error) { return null() }),
		list("information_schema._pg_expandarray(anyarray)", func(_ *schema.Call, a []value) ([]value, error) {
			out := make([]value, len(a[0].Elems))
			for i, e := range a[0].Elems {
				out[i] = value{Elems: []value{e, number(int64(i + 1))}}
			}
			return out, nil
		}))
}

// informationNumbers are the precisions of numbers.
func informationNumbers(make2 func(name string, f func(t types.OID, typmod int64) (int64, bool)) implementation) []implementation {
	const header = 4
	return []implementation{
		make2("_pg_numeric_precision", func(t types.OID, typmod int64) (int64, bool) {
			n, ok := map[types.OID]int64{types.Int2: 16, types.Int4: 32, types.Int8: 64, types.Float4: 24, types.Float8: 53}[t]
			if t == types.Numeric && typmod != -1 {
				return (typmod - header) >> 16 & 0xffff, true
			}
			return n, ok
		}),
		make2("_pg_numeric_precision_radix", func(t types.OID, _ int64) (int64, bool) {
			n, ok := map[types.OID]int64{types.Int2: 2, types.Int4: 2, types.Int8: 2, types.Float4: 2, types.Float8: 2, types.Numeric: 10}[t]
			return n, ok
		}),
		make2("_pg_numeric_scale", func(t types.OID, typmod int64) (int64, bool) {
			if t == types.Numeric && typmod != -1 {
				return (typmod - header) & 0xffff, true
			}
			return 0, t == types.Int2 || t == types.Int4 || t == types.Int8
		}),
	}
}
