package query

import (
	pg_query "github.com/pganalyze/pg_query_go/v5"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// eachNode calls f for every relation named in a parse tree.
func eachNode(m protoreflect.Message, f func(v *pg_query.RangeVar)) {
	if v, ok := m.Interface().(*pg_query.RangeVar); ok {
		f(v)
		return
	}
	m.Range(func(d protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case d.IsList() && d.Kind() == protoreflect.MessageKind:
			list := v.List()
			for i := range list.Len() {
				eachNode(list.Get(i).Message(), f)
			}
		case d.Kind() == protoreflect.MessageKind && !d.IsMap():
			eachNode(v.Message(), f)
		}
		return true
	})
}
