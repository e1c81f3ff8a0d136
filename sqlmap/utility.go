package sqlmap

import (
	"strconv"
	"strings"

	pg_query "github.com/pganalyze/pg_query_go/v5"

	"pgcache/pgwire"
	"pgcache/sqlmap/types"
)

// utilityStatement plans what is neither a query nor a write.
func (p *planner) utilityStatement(stmt *pg_query.Node) (*plan, error) {
	switch n := stmt.GetNode().(type) {
	case *pg_query.Node_TransactionStmt:
		return transactionStatement(n.TransactionStmt)
	case *pg_query.Node_VariableSetStmt:
		return setStatement(n.VariableSetStmt)
	case *pg_query.Node_VariableShowStmt:
		return p.showStatement(n.VariableShowStmt.Name)
	case *pg_query.Node_DiscardStmt:
		return discardStatement(n.DiscardStmt.Target)
	case *pg_query.Node_DeallocateStmt:
		return simple(func(x *execution) (outcome, error) { return deallocate(x, n.DeallocateStmt.Name) }), nil
	case *pg_query.Node_ClosePortalStmt:
		return simple(func(x *execution) (outcome, error) { return closeCursor(x, n.ClosePortalStmt.Portalname) }), nil
	case *pg_query.Node_UnlistenStmt:
		return listen(listenChange{channel: n.UnlistenStmt.Conditionname, stop: true}), nil
	case *pg_query.Node_ListenStmt:
		return listen(listenChange{channel: n.ListenStmt.Conditionname}), nil
	case *pg_query.Node_NotifyStmt:
		return notifyStatement(n.NotifyStmt.Conditionname, n.NotifyStmt.Payload), nil
	case *pg_query.Node_CopyStmt:
		return p.copyStatement(n.CopyStmt)
	case *pg_query.Node_PrepareStmt:
		return p.prepareStatement(n.PrepareStmt)
	case *pg_query.Node_ExecuteStmt:
		return &plan{late: &executeStatement{n.ExecuteStmt.Name, n.ExecuteStmt.Params, p.sql}}, nil
	case *pg_query.Node_ExplainStmt:
		return p.explainStatement(n.ExplainStmt)
	case *pg_query.Node_DeclareCursorStmt:
		return p.declareStatement(n.DeclareCursorStmt)
	case *pg_query.Node_FetchStmt:
		f := n.FetchStmt
		return &plan{late: &fetchStatement{f.Portalname, f.Ismove, f.Direction, f.HowMany}}, nil
	case *pg_query.Node_CreateRoleStmt, *pg_query.Node_AlterRoleStmt, *pg_query.Node_AlterRoleSetStmt, *pg_query.Node_DropRoleStmt,
		*pg_query.Node_GrantStmt, *pg_query.Node_GrantRoleStmt:
		return nil, unsupported(-1, "managing users in SQL is", userHint)
	case *pg_query.Node_DoStmt, *pg_query.Node_CreateFunctionStmt:
		return nil, unsupported(-1, "DO and CREATE FUNCTION are", "There is no procedural language: send the statements one by one, in a transaction block if they belong together.")
	case *pg_query.Node_CreateExtensionStmt:
		return nil, unsupported(-1, "CREATE EXTENSION is", "There are no extensions; more than 900 of PostgreSQL's own functions are there.")
	case *pg_query.Node_CreateStmt, *pg_query.Node_CreateTableAsStmt, *pg_query.Node_AlterTableStmt, *pg_query.Node_DropStmt, *pg_query.Node_IndexStmt:
		return nil, unsupported(-1, "creating or changing tables is", generalHint)
	case *pg_query.Node_VacuumStmt:
		return nil, unsupported(-1, "VACUUM and ANALYZE are", "Nothing needs them: what has expired is removed by itself, at once by SELECT * FROM sweep_expired(max_entries, max_ms).")
	case *pg_query.Node_LockStmt:
		return nil, unsupported(-1, "LOCK is", "Compare and set by version, or take a lease: SELECT * FROM cache_get(ns, key, lease_ms => …).")
	case *pg_query.Node_MergeStmt:
		return nil, unsupported(-1, "MERGE is", "Write INSERT … ON CONFLICT (ns, key) DO UPDATE SET ….")
	case *pg_query.Node_AlterSystemStmt:
		return nil, unsupported(-1, "ALTER SYSTEM is", "Settings are flags, environment variables and the configuration file, which a start reads: SELECT * FROM cache_settings shows them.")
	}
	return nil, unsupported(-1, "this statement is", generalHint)
}

const userHint = "Run pgcache user add NAME --role readonly, readwrite or admin (with --replace to change a user), or pgcache user remove NAME, and send the server SIGHUP."

func simple(f actionFunc) *plan { return &plan{action: f} }

// transactionStatement plans BEGIN, COMMIT and their like.
func transactionStatement(t *pg_query.TransactionStmt) (*plan, error) {
	switch t.Kind {
	case pg_query.TransactionStmtKind_TRANS_STMT_BEGIN, pg_query.TransactionStmtKind_TRANS_STMT_START:
		tag := "BEGIN"
		if t.Kind == pg_query.TransactionStmtKind_TRANS_STMT_START {
			tag = "START TRANSACTION"
		}
		options, err := transactionOptions(t.Options)
		if err != nil {
			return nil, err
		}
		return simple(func(x *execution) (outcome, error) { return begin(x, tag, options) }), nil
	case pg_query.TransactionStmtKind_TRANS_STMT_COMMIT:
		return &plan{endsTransaction: true, action: actionFunc(func(x *execution) (outcome, error) { return commit(x, t.Chain) })}, nil
	case pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK:
		return &plan{endsTransaction: true, action: actionFunc(func(x *execution) (outcome, error) { return rollback(x, t.Chain) })}, nil
	case pg_query.TransactionStmtKind_TRANS_STMT_SAVEPOINT:
		return simple(func(x *execution) (outcome, error) { return setSavepoint(x, t.SavepointName) }), nil
	case pg_query.TransactionStmtKind_TRANS_STMT_RELEASE:
		return simple(func(x *execution) (outcome, error) { return releaseSavepoint(x, t.SavepointName) }), nil
	case pg_query.TransactionStmtKind_TRANS_STMT_ROLLBACK_TO:
		// A failed transaction accepts it, as it accepts its end.
		return &plan{endsTransaction: true, action: actionFunc(func(x *execution) (outcome, error) { return rollbackTo(x, t.SavepointName) })}, nil
	}
	return nil, unsupported(-1, "two-phase commit is", "Use BEGIN and COMMIT.")
}

// setting is a name and a value to set.
type setting struct{ name, value string }

// transactionOptions are the settings that ISOLATION LEVEL and READ ONLY stand for.
func transactionOptions(list []*pg_query.Node) ([]setting, error) {
	var out []setting
	for _, n := range list {
		d := n.GetDefElem()
		k := d.GetArg().GetAConst()
		switch {
		case d.GetDefname() == "transaction_isolation":
			out = append(out, setting{d.Defname, k.GetSval().GetSval()})
		case d.GetDefname() == "transaction_read_only" || d.GetDefname() == "transaction_deferrable":
			value := "off"
			if k.GetIval().GetIval() != 0 || k.GetBoolval().GetBoolval() {
				value = "on"
			}
			out = append(out, setting{d.Defname, value})
		default:
			return nil, unsupported(-1, "this transaction option is", "Use BEGIN with ISOLATION LEVEL or READ ONLY.")
		}
	}
	return out, nil
}

func warning(code pgwire.Code, message string) *pgwire.Error {
	e := pgwire.Errorf(code, "%s", message)
	e.Severity = pgwire.SeverityWarning
	return e
}

func begin(x *execution, tag string, options []setting) (outcome, error) {
	s := x.session
	if s.status != pgwire.TxIdle {
		x.notice(warning(pgwire.CodeActiveTransaction, "there is already a transaction in progress"))
	}
	s.openTransaction() // or what an implicit one did is adopted
	s.status = pgwire.TxBlock
	for _, o := range options {
		if err := s.settings.set(o.name, o.value, true); err != nil {
			return outcome{}, err
		}
	}
	return outcome{tag: tag}, nil
}

func commit(x *execution, chain bool) (outcome, error) {
	s := x.session
	switch s.status {
	case pgwire.TxFailed:
		return rollback(x, chain)
	case pgwire.TxIdle:
		if chain {
			return outcome{}, pgwire.Errorf(pgwire.CodeNoActiveTransaction, "COMMIT AND CHAIN can only be used in transaction blocks")
		}
		x.notice(warning(pgwire.CodeNoActiveTransaction, "there is no transaction in progress"))
	}
	if err := s.commit(x.env.Ctx); err != nil {
		return outcome{}, err
	}
	if chain {
		s.openTransaction()
		s.status = pgwire.TxBlock
	}
	return outcome{tag: "COMMIT"}, nil
}

func rollback(x *execution, chain bool) (outcome, error) {
	s := x.session
	if s.status == pgwire.TxIdle {
		if chain {
			return outcome{}, pgwire.Errorf(pgwire.CodeNoActiveTransaction, "ROLLBACK AND CHAIN can only be used in transaction blocks")
		}
		x.notice(warning(pgwire.CodeNoActiveTransaction, "there is no transaction in progress"))
	}
	s.endTransaction(false)
	if chain {
		s.openTransaction()
		s.status = pgwire.TxBlock
	}
	return outcome{tag: "ROLLBACK"}, nil
}

// setStatement plans SET and RESET.
func setStatement(v *pg_query.VariableSetStmt) (*plan, error) {
	switch v.Kind {
	case pg_query.VariableSetKind_VAR_RESET_ALL:
		return simple(func(x *execution) (outcome, error) {
			x.session.settings.resetAll()
			return outcome{tag: "RESET"}, nil
		}), nil
	case pg_query.VariableSetKind_VAR_SET_MULTI:
		return setTransaction(v)
	case pg_query.VariableSetKind_VAR_SET_CURRENT:
		return nil, unsupported(-1, "SET … FROM CURRENT is", "Write the value: SET name = value.")
	}
	tag := "SET"
	if v.Kind == pg_query.VariableSetKind_VAR_RESET {
		tag = "RESET"
	}
	value, hasValue := "", v.Kind == pg_query.VariableSetKind_VAR_SET_VALUE
	if hasValue {
		var err error
		if value, err = settingValue(v); err != nil {
			return nil, err
		}
	}
	name, isLocal := v.Name, v.IsLocal
	return simple(func(x *execution) (outcome, error) {
		s := &x.session.settings
		if isLocal && x.session.status != pgwire.TxBlock {
			x.notice(warning(pgwire.CodeNoActiveTransaction, "SET LOCAL can only be used in transaction blocks"))
			if x.isAlone {
				return outcome{tag: tag}, s.check(name, value)
			}
		}
		if hasValue {
			return outcome{tag: tag}, s.set(name, value, isLocal)
		}
		return outcome{tag: tag}, s.reset(name, isLocal)
	}), nil
}

// setTransaction is SET TRANSACTION and SET SESSION CHARACTERISTICS.
func setTransaction(v *pg_query.VariableSetStmt) (*plan, error) {
	options, err := transactionOptions(v.Args)
	if err != nil {
		return nil, err
	}
	isSession := v.Name == "SESSION CHARACTERISTICS"
	return simple(func(x *execution) (outcome, error) {
		if !isSession && x.session.status != pgwire.TxBlock {
			x.notice(warning(pgwire.CodeNoActiveTransaction, "SET TRANSACTION can only be used in transaction blocks"))
			return outcome{tag: "SET"}, nil
		}
		for _, o := range options {
			name := o.name
			if isSession {
				name = "default_" + name
			}
			if err := x.session.settings.set(name, o.value, !isSession); err != nil {
				return outcome{}, err
			}
		}
		return outcome{tag: "SET"}, nil
	}), nil
}

// settingValue joins the arguments of SET as PostgreSQL does.
func settingValue(v *pg_query.VariableSetStmt) (string, error) {
	var parts []string
	for _, n := range v.Args {
		if cast := n.GetTypeCast(); cast != nil { // SET TIME ZONE INTERVAL '…'
			n = cast.Arg
			hours, err := intervalHours(n.GetAConst().GetSval().GetSval())
			if err != nil {
				return "", err
			}
			parts = append(parts, hours)
			continue
		}
		k := n.GetAConst()
		switch {
		case k.GetSval() != nil:
			parts = append(parts, k.GetSval().Sval)
		case k.GetIval() != nil:
			parts = append(parts, strconv.Itoa(int(k.GetIval().Ival)))
		case k.GetFval() != nil:
			parts = append(parts, k.GetFval().Fval)
		case k != nil:
			parts = append(parts, "0") // an integer of that value has no field
		default:
			return "", unsupported(-1, "this value of a setting is", "Write a constant.")
		}
	}
	return strings.Join(parts, ", "), nil
}

func intervalHours(text string) (string, error) {
	v, err := types.ParseText(types.Interval, []byte(text), nil)
	if err != nil {
		return "", err
	}
	return strconv.FormatFloat(types.EpochSeconds(types.Interval, v)/3600, 'f', -1, 64), nil
}

// showStatement is SHOW.
func (p *planner) showStatement(name string) (*plan, error) {
	if name == "all" {
		return showAll(), nil
	}
	var s sessionSettings
	s.variables = p.handler.variables
	title := name
	if i := s.find(name); i >= 0 {
		title = s.variables[i].name
	} else if known := p.handler.standard.find(name); known != nil {
		title = known.Name
	} else if !strings.Contains(name, ".") {
		return nil, errUnknownSetting(name, p.handler.config.Settings)
	}
	return &plan{columns: []pgwire.Column{column(title, types.Text)}, action: actionFunc(func(x *execution) (outcome, error) {
		value, ok := x.session.settings.get(name)
		if !ok {
			return outcome{}, x.session.settings.errUnknown(name)
		}
		return outcome{tag: "SHOW", rows: &rowList{[][]types.Value{{types.OfText(value)}}}}, nil
	})}, nil
}

func showAll() *plan {
	columns := []pgwire.Column{column("name", types.Text), column("setting", types.Text), column("description", types.Text)}
	return &plan{columns: columns, action: actionFunc(func(x *execution) (outcome, error) {
		s := &x.session.settings
		var rows [][]types.Value
		for _, known := range s.all() {
			rows = append(rows, []types.Value{types.OfText(known.Name), types.OfText(withUnit(known.value, known.Unit)), types.OfText(known.description)})
		}
		return outcome{tag: "SHOW", rows: &rowList{rows}}, nil
	})}
}

// discardStatement is DISCARD.
func discardStatement(target pg_query.DiscardMode) (*plan, error) {
	tag := map[pg_query.DiscardMode]string{
		pg_query.DiscardMode_DISCARD_ALL: "DISCARD ALL", pg_query.DiscardMode_DISCARD_PLANS: "DISCARD PLANS",
		pg_query.DiscardMode_DISCARD_SEQUENCES: "DISCARD SEQUENCES", pg_query.DiscardMode_DISCARD_TEMP: "DISCARD TEMP",
	}[target]
	return simple(func(x *execution) (outcome, error) {
		if target != pg_query.DiscardMode_DISCARD_ALL {
			return outcome{tag: tag}, nil
		}
		if !x.isAlone {
			return outcome{}, pgwire.Errorf(pgwire.CodeActiveTransaction, "DISCARD ALL cannot run inside a transaction block")
		}
		x.session.info.Names.DropAllPortals()
		x.session.info.Names.DropAllStatements()
		x.session.settings.resetAll()
		clear(x.session.settings.custom)
		x.session.applyListening(listenChange{stop: true})
		x.session.unlockSession()
		return outcome{tag: tag}, nil
	}), nil
}
