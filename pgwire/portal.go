package pgwire

// portal is a Portal under its name, with the memory of its arguments.
type portal struct {
	name      string
	statement Statement
	text      *string // the statement's, as Activity shows it
	source    Source  // of a named one
	columns   []Column
	bound     Portal
	isHeld    bool // it outlives its transaction
	// closedBound is the Portal this one was bound to before; its Bind may use it again.
	closedBound Portal

	args BindArgs
	// memory holds the bytes of args.Params (W4). It is small, or block's, or the
	// message's own buffer.
	memory []byte
	small  []byte
	block  *readBlock

	state portalState
	// suspended says that an earlier Execute ended at its row limit.
	suspended bool
	// completion is how it completed, for those that run again.
	completion Completion
}

type portalState uint8

const (
	portalReady    portalState = iota // may be executed, for the first time or to go on
	portalComplete                    // has completed
	portalFailed                      // has failed; it cannot be run
)

// keep copies what follows the names of a Bind into memory of the portal, or takes over the
// message's buffer if it is owned, and returns it.
func (p *portal) keep(rest []byte, owned bool, pool *bufferPool) []byte {
	switch {
	case owned:
		p.memory = rest
	case len(rest) <= smallArgumentBytesMax:
		p.small = append(p.small[:0], rest...)
		p.memory = p.small
	default:
		p.block = pool.getRead()
		p.memory = append(p.block[:0], rest...)
	}
	return p.memory
}

// reset forgets everything but the memory that is worth keeping.
func (p *portal) reset(pool *bufferPool) {
	clear(p.args.Params)
	if cap(p.args.Params) > recycledParamsMax || cap(p.args.ResultFormats) > recycledParamsMax {
		p.args = BindArgs{}
	}
	p.args.Params = p.args.Params[:0]
	p.memory = nil
	if p.block != nil {
		pool.putRead(p.block)
		p.block = nil
	}
	p.name, p.statement, p.text, p.columns, p.isHeld, p.source = "", nil, nil, nil, false, Source{}
	p.state, p.suspended, p.completion = portalReady, false, Completion{}
}

// bytes is what an open portal is charged: its arguments, and its text if it keeps that.
func (p *portal) bytes() int { return len(p.memory) + len(p.source.SQL) }

// expandFormats makes of 0, 1 or n format codes one for each of n values.
func expandFormats(formats []Format, n int) []Format {
	switch {
	case len(formats) == n:
	case len(formats) == 0:
		for range n {
			formats = append(formats, Text)
		}
	default: // one for all
		for len(formats) < n {
			formats = append(formats, formats[0])
		}
		formats = formats[:n]
	}
	return formats
}

// checkFormats refuses unknown format codes.
func checkFormats(formats []Format) error {
	for _, f := range formats {
		if f != Text && f != Binary {
			return Errorf(CodeInvalidParameterValue, "unsupported format code: %d", f)
		}
	}
	return nil
}
