package pgwire

import (
	"bytes"
	"errors"
)

// parse handles Parse: it plans a statement and stores it.
func (c *conn) parse(body []byte) error {
	m, err := decodeParse(body)
	if err != nil {
		return err
	}
	if len(m.name) == 0 {
		c.names.DropStatement("") // gone even if this one fails
	}
	sql := string(m.sql)
	text := activityText(sql)
	c.activity.query.Store(text)
	s, err := c.session.Prepare(&c.statement, sql, m.paramOIDs)
	if err != nil {
		return c.failedFirst(err)
	}
	if err := c.checkTransaction(s); err != nil && !blank(m.sql) {
		return err // an empty one fails, as in PostgreSQL, only when it is bound
	}
	source := Source{SQL: sql, At: c.server.now()}
	if err := c.names.putStatement(string(m.name), s, text, source); err != nil {
		return err
	}
	c.reply.add(parseComplete)
	return nil
}

// blank reports that a text holds no statement, nor a comment.
func blank(sql []byte) bool { return len(bytes.Trim(sql, "; \t\n\v\f\r")) == 0 }

// bind handles Bind. The checks come in PostgreSQL's order.
func (c *conn) bind(message frame) error {
	portalName, statementName, rest, err := decodeBindNames(message.body)
	if err != nil {
		return err
	}
	s, err := c.names.statement(statementName)
	if err != nil {
		return err
	}
	p := c.names.newPortal()
	stored := false
	defer func() {
		if !stored {
			c.names.recycle(p)
		}
	}()
	p.statement, p.text, p.columns = s.Statement, s.text, s.Columns()
	s.uses++
	if len(portalName) > 0 {
		p.source = Source{SQL: s.source.SQL, At: c.server.now()}
		if s == &c.names.unnamed && s.text != nil {
			p.source.SQL = *s.text // whose source is not kept
		}
	}
	if err := c.decodeArgs(p, rest, message.owned, statementName); err != nil {
		return err
	}
	if err := c.checkTransaction(p.statement); err != nil {
		return err
	}
	if err := c.names.reservePortal(portalName, p.bytes()); err != nil {
		return err
	}
	if err := p.completeFormats(); err != nil {
		return err
	}
	if err := c.bindPortal(p); err != nil {
		return err
	}
	stored = true
	c.names.putPortal(portalName, p)
	c.reply.add(bindComplete)
	return nil
}

// decodeArgs reads the arguments of a Bind into memory of the portal and checks their numbers.
func (c *conn) decodeArgs(p *portal, rest []byte, owned bool, statementName []byte) error {
	if err := decodeBindArgs(p.keep(rest, owned, c.server.pool), &p.args); err != nil {
		return err
	}
	params, formats := len(p.args.Params), len(p.args.ParamFormats)
	if params > c.server.limits.Parameters {
		return Errorf(CodeProgramLimitExceeded, "%d parameters exceed the limit of %d", params, c.server.limits.Parameters)
	}
	if formats > 1 && formats != params {
		return Errorf(CodeProtocolViolation, "bind message has %d parameter formats but %d parameters", formats, params)
	}
	if required := len(p.statement.ParamOIDs()); params != required {
		return Errorf(CodeProtocolViolation, "bind message supplies %d parameters, but prepared statement \"%s\" requires %d",
			params, statementName, required)
	}
	return nil
}

// completeFormats checks the formats and the text parameters, and expands the formats to
// one for each value.
func (p *portal) completeFormats() error {
	args := &p.args
	if err := checkFormats(args.ParamFormats); err != nil {
		return err
	}
	args.ParamFormats = expandFormats(args.ParamFormats, len(args.Params))
	for i, value := range args.Params {
		if args.ParamFormats[i] == Text {
			if err := checkParameterText(value); err != nil {
				return err
			}
		}
	}
	if p.columns == nil {
		args.ResultFormats = args.ResultFormats[:0] // as in PostgreSQL, unexamined
		return nil
	}
	if formats, columns := len(args.ResultFormats), len(p.columns); formats > 1 && formats != columns {
		return Errorf(CodeProtocolViolation, "bind message has %d result formats but query has %d columns", formats, columns)
	}
	// PostgreSQL finds an unknown result format only when it sends the first row.
	if err := checkFormats(args.ResultFormats); err != nil {
		return err
	}
	args.ResultFormats = expandFormats(args.ResultFormats, len(p.columns))
	return nil
}

// bindPortal binds p's statement to its arguments.
func (c *conn) bindPortal(p *portal) error {
	recycle := p.closedBound
	p.closedBound = nil
	bound, err := p.statement.Bind(&c.statement, &p.args, recycle)
	if err != nil {
		return err
	}
	p.bound = bound
	return nil
}

// describe handles Describe. It never runs anything.
func (c *conn) describe(body []byte) error {
	kind, name, err := decodeTarget(body)
	if err != nil {
		return err
	}
	var columns []Column
	var formats []Format
	var params []uint32
	switch kind {
	case 'S':
		s, err := c.names.statement(name)
		if err != nil {
			return err
		}
		columns, params = s.Columns(), s.ParamOIDs()
	case 'P':
		p, err := c.names.portal(name)
		if err != nil {
			return err
		}
		columns, formats = p.columns, p.args.ResultFormats
	default:
		return Errorf(CodeProtocolViolation, "invalid DESCRIBE message subtype %d", kind)
	}
	if columns != nil && c.session.TxStatus() == TxFailed {
		return errFailedTransaction()
	}
	c.reply.takeBlock()
	if kind == 'S' {
		c.reply.buf = appendParameterDescription(c.reply.buf, params)
	}
	if columns == nil {
		c.reply.add(noData)
	} else {
		c.reply.buf = appendRowDescription(c.reply.buf, columns, formats)
	}
	return nil
}

// execute handles Execute.
func (c *conn) execute(body []byte) error {
	name, rowsMax, err := decodeExecute(body)
	if err != nil {
		return err
	}
	p, err := c.names.portal(name)
	if err != nil {
		return err
	}
	if p.text != nil {
		c.activity.query.Store(p.text)
	}
	alone := c.executes == 0 && c.reader.nextIs('S')
	c.executes++
	if err := c.checkTransaction(p.statement); err != nil {
		return err
	}
	if p.state == portalFailed || p.state == portalComplete && p.columns == nil && p.completion.Tag != TagEmpty {
		return Errorf(CodeObjectNotInPrerequisiteState, "portal \"%s\" cannot be run", name)
	}
	if p.state == portalComplete {
		again := p.completion
		again.Rows = 0
		c.complete(again)
		return nil
	}
	if err := c.run(p, int64(rowsMax), alone); err != nil {
		return err
	}
	c.dropEnded(p.statement)
	return nil
}

// dropEnded closes the portals of a transaction block that s has ended.
func (c *conn) dropEnded(s Statement) {
	if s.EndsTransaction() && c.session.TxStatus() == TxIdle {
		c.names.EndTransaction()
	}
}

// run executes a portal and answers how that ended.
func (c *conn) run(p *portal, rowsMax int64, alone bool) error {
	p.state = portalFailed // unless it returns
	c.reply.beginRows(rowsMax)
	running := c.names.running
	c.names.running = p
	defer func() {
		c.names.running = running
		c.endCopy()
	}()
	c.flushBefore(p.bound)
	done, err := p.bound.Execute(&c.statement, &c.reply, alone)
	if err != nil {
		return err
	}
	if c.reply.rowOpen {
		panic("pgwire: portal returned inside a row")
	}
	if err := c.drainCopy(); err != nil {
		return err
	}
	if done.Suspended {
		p.state, p.suspended = portalReady, true
		c.reply.add(portalSuspended)
		return nil
	}
	if p.suspended && done.HasRows {
		done.Rows = c.reply.rows // the tag counts what this Execute has sent
	}
	p.state, p.completion = portalComplete, done
	if p.columns != nil && c.reply.Full() {
		// As in PostgreSQL, which stops at the limit without looking whether a row is left.
		c.reply.add(portalSuspended)
		return nil
	}
	c.complete(done)
	return nil
}

// flushBefore sends the answers to earlier cycles of a pipeline before something that may take
// its time. (PostgreSQL sends them with each ReadyForQuery.)
func (c *conn) flushBefore(p Portal) {
	if !c.reply.wanted {
		return
	}
	if quick, ok := p.(Quick); !ok || !quick.IsQuick() {
		c.reply.flush()
	}
}

func (c *conn) complete(done Completion) {
	if done.Tag == TagEmpty {
		c.reply.add(emptyQueryResponse)
		return
	}
	c.reply.takeBlock()
	c.reply.buf = appendCommandComplete(c.reply.buf, done)
}

// closeTarget handles Close. Names that are unknown are closed already.
func (c *conn) closeTarget(body []byte) error {
	kind, name, err := decodeTarget(body)
	if err != nil {
		return err
	}
	switch kind {
	case 'S':
		c.names.DropStatement(string(name))
	case 'P':
		c.names.DropPortal(string(name))
	default:
		return Errorf(CodeProtocolViolation, "invalid CLOSE message subtype %d", kind)
	}
	c.reply.add(closeComplete)
	return nil
}

// checkTransaction refuses all but the end of a failed transaction.
func (c *conn) checkTransaction(s Statement) error {
	if c.session.TxStatus() == TxFailed && !s.EndsTransaction() {
		return errFailedTransaction()
	}
	return nil
}

// failedFirst is the error of planning a statement. PostgreSQL checks the syntax first,
// then whether the transaction has failed, then everything else.
func (c *conn) failedFirst(err error) error {
	var e *Error
	if c.session.TxStatus() != TxFailed || errors.As(err, &e) && e.Code == CodeSyntaxError {
		return err
	}
	return errFailedTransaction()
}

func errFailedTransaction() *Error {
	return Errorf(CodeInFailedTransaction, "current transaction is aborted, commands ignored until end of transaction block")
}
