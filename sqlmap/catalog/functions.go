package catalog

import (
	"strings"

	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// functionIndex finds functions.
type functionIndex struct {
	byOID  map[types.OID]*schema.Function
	byName map[[2]string][]*schema.Function
}

func (x *functionIndex) add(f *schema.Function) {
	x.byOID[f.OID] = f
	name := [2]string{f.Schema, f.Name}
	x.byName[name] = append(x.byName[name], f)
}

func (c *Catalog) indexFunctions() *functionIndex {
	x := &functionIndex{byOID: make(map[types.OID]*schema.Function), byName: make(map[[2]string][]*schema.Function)}
	code := make(map[string]*schema.Implementation, len(c.config.Library))
	for i := range c.config.Library {
		code[c.config.Library[i].Signature] = &c.config.Library[i]
	}
	namespaces := c.relations().namespaces
	for r := c.read("pg_proc"); r.next(); {
		f := &schema.Function{OID: r.oid("oid"), Schema: namespaces[r.oid("pronamespace")], Name: r.text("proname"), Kind: r.char("prokind"),
			Args: oids(r.value("proargtypes")), Variadic: r.oid("provariadic"), Returns: r.oid("prorettype"),
			ReturnsSet: r.bool("proretset"), IsStrict: r.bool("proisstrict"), Volatility: r.char("provolatile")}
		nameArguments(f, r)
		if defaults := r.value("proargdefaults"); !defaults.IsNull {
			f.Defaults = defaultValues(f, defaults.Text(), int(r.int("pronargdefaults")))
		}
		f.Implementation = code[c.signature(f)]
		x.add(f)
	}
	for r := c.read("pg_aggregate"); r.next(); {
		if f := x.byOID[r.oid("aggfnoid")]; f != nil {
			f.AggregateKind, f.DirectArgs = r.char("aggkind"), int(r.int("aggnumdirectargs"))
		}
	}
	for _, f := range c.config.Functions {
		x.add(f)
	}
	for i := range c.config.Library {
		if described := c.config.Library[i].Construct; described != nil {
			f := *described
			f.Schema, f.Kind, f.Implementation = schema.Constructs, 'f', &c.config.Library[i]
			name := [2]string{f.Schema, f.Name}
			x.byName[name] = append(x.byName[name], &f)
		}
	}
	return x
}

// nameArguments reads the names of the arguments, and the OUT columns.
func nameArguments(f *schema.Function, r *reader) {
	names, modes := texts(r.value("proargnames")), r.value("proargmodes").Elems
	if modes == nil {
		f.ArgNames = names
		if len(names) == 0 {
			f.ArgNames = nil
		}
		return
	}
	all := oids(r.value("proallargtypes"))
	for i, mode := range modes {
		name := ""
		if i < len(names) {
			name = names[i]
		}
		switch mode := mode.Text(); mode {
		case "i", "v", "b":
			f.ArgNames = append(f.ArgNames, name)
			if mode != "b" {
				continue
			}
			fallthrough
		default:
			f.Outs = append(f.Outs, schema.Column{Name: name, Type: all[i], Typmod: -1})
		}
	}
}

// defaultValues reads what the generator wrote: constants, separated by commas.
func defaultValues(f *schema.Function, text string, n int) []types.Value {
	parts := strings.Split(text, ", ")
	if len(parts) != n {
		return nil
	}
	values := make([]types.Value, n)
	for i, part := range parts {
		literal, _, isCast := strings.Cut(part, "::")
		if isCast && literal == "NULL" {
			values[i] = types.Null()
			continue
		}
		literal = strings.ReplaceAll(strings.Trim(literal, "'"), "''", "'")
		v, err := types.ParseText(f.Args[len(f.Args)-n+i], []byte(literal), nil)
		if err != nil {
			return nil // an argument of a type that no value has
		}
		values[i] = v
	}
	return values
}

// signature is how Library names a function.
func (c *Catalog) signature(f *schema.Function) string {
	var b strings.Builder
	if f.Schema != System {
		b.WriteString(f.Schema + ".")
	}
	b.WriteString(f.Name + "(")
	for i, arg := range f.Args {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(c.signatureType(arg))
	}
	return b.String() + ")"
}

func (c *Catalog) signatureType(oid types.OID) string {
	t := c.Type(oid)
	switch {
	case t == nil:
		return "???"
	case t.IsArray && t.Elem != 0 && t.OID != types.Int2Vector && t.OID != types.OidVector:
		return c.signatureType(t.Elem) + "[]"
	}
	return t.Name
}

// Functions are all overloads of a name.
func (c *Catalog) Functions(schemaName, name string) []*schema.Function {
	return c.functions().byName[[2]string{schemaName, name}]
}

// FunctionByOID finds a function.
func (c *Catalog) FunctionByOID(oid types.OID) *schema.Function { return c.functions().byOID[oid] }

// operatorIndex finds operators.
type operatorIndex struct {
	byOID  map[types.OID]*schema.Operator
	byName map[[2]string][]*schema.Operator
}

func (c *Catalog) indexOperators() *operatorIndex {
	x := &operatorIndex{byOID: make(map[types.OID]*schema.Operator), byName: make(map[[2]string][]*schema.Operator)}
	for r := c.read("pg_operator"); r.next(); {
		o := &schema.Operator{OID: r.oid("oid"), Schema: c.relations().namespaces[r.oid("oprnamespace")], Name: r.text("oprname"),
			Left: r.oid("oprleft"), Right: r.oid("oprright"), Result: r.oid("oprresult"), Function: c.FunctionByOID(r.oid("oprcode")),
			Commutator: r.oid("oprcom"), Negator: r.oid("oprnegate"), CanHash: r.bool("oprcanhash")}
		x.byOID[o.OID] = o
		name := [2]string{o.Schema, o.Name}
		x.byName[name] = append(x.byName[name], o)
	}
	return x
}

// Operators are all overloads of a name.
func (c *Catalog) Operators(schemaName, name string) []*schema.Operator {
	return c.operators().byName[[2]string{schemaName, name}]
}

// Implemented are the signatures of the functions that have code.
func (c *Catalog) Implemented() map[string]bool {
	out := make(map[string]bool)
	for _, f := range c.functions().byOID {
		if f.Implementation != nil {
			out[f.Implementation.Signature] = true
		}
	}
	return out
}
