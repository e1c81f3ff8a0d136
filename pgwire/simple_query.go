package pgwire

// query runs a Query: its statements are one implicit transaction, up to the first error.
func (c *conn) query(body []byte) error {
	text, err := decodeQuery(body)
	if err != nil {
		return err
	}
	// As in PostgreSQL, whose simple protocol uses the unnamed statement and portal.
	c.names.DropStatement("")
	c.names.DropPortal("")
	if c.reply.wanted {
		c.reply.flush() // as in PostgreSQL: this one may take long
	}
	sql := string(text)
	c.activity.query.Store(activityText(sql))
	statements, err := c.session.PrepareSimple(&c.statement, sql)
	if err != nil {
		return c.failedFirst(err)
	}
	if len(statements) == 0 {
		c.reply.add(emptyQueryResponse)
		return nil
	}
	alone := len(statements) == 1 && c.executes == 0
	c.executes += len(statements)
	for _, s := range statements {
		if err := c.runSimple(s, alone); err != nil {
			return err
		}
	}
	return nil
}

// runSimple runs one statement of a Query.
func (c *conn) runSimple(s Statement, alone bool) error {
	if err := c.checkTransaction(s); err != nil {
		return err
	}
	if len(s.ParamOIDs()) > 0 {
		return Errorf(CodeUndefinedParameter, "there is no parameter $1")
	}
	p := c.names.newPortal()
	defer c.names.recycle(p)
	p.statement, p.columns = s, s.Columns()
	p.args.Params = p.args.Params[:0]
	p.args.ParamFormats = p.args.ParamFormats[:0]
	p.args.ResultFormats = expandFormats(p.args.ResultFormats[:0], len(p.columns))
	if err := c.bindPortal(p); err != nil {
		return err
	}
	if p.columns != nil {
		c.reply.takeBlock()
		c.reply.buf = appendRowDescription(c.reply.buf, p.columns, nil)
	}
	if err := c.run(p, 0, alone); err != nil {
		return err
	}
	c.dropEnded(s)
	return nil
}
