package pgwire

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// Config is what a server is made of.
type Config struct {
	// Handler runs the statements. Required.
	Handler Handler
	// Logger may be nil: nothing is logged.
	Logger *slog.Logger
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Random is where cancel keys come from; nil: crypto/rand.
	Random io.Reader
	// Databases are the names clients may ask for; nil: any.
	Databases []string
	// Accounts are the users; nil: there are none, and clients can only be trusted.
	Accounts *Accounts
	// Encryption is the certificate for TLS; nil: no TLS.
	Encryption *Encryption
	// Limits bound clients; the zero value means the defaults.
	Limits Limits
}

// Server serves clients on any number of listeners.
type Server struct {
	handler   Handler
	logger    *slog.Logger
	now       func() time.Time
	databases []string
	limits    Limits
	pool      *bufferPool
	keys      *cancelKeys

	accounts   atomic.Pointer[Accounts]
	encryption atomic.Pointer[Encryption]

	// baseContext is the ancestor of all contexts; it ends with Close.
	baseContext context.Context
	endContext  context.CancelFunc

	conns sync.WaitGroup // the goroutines of connections

	mu struct {
		sync.Mutex
		state     serverState
		listeners map[net.Listener]struct{}
		conns     map[*conn]connState
		early     int // clients that are not late
		starting  int
		admitted  int
		byUser    map[string]int // admitted
		byAddress map[string]int // all
		// startingByNetwork counts those not past startup.
		startingByNetwork map[string]int
	}
	// stop is closed when state leaves serving, drained when the clients from before are gone.
	stop    chan struct{}
	drained chan struct{}
}

type serverState int

const (
	serving  serverState = iota
	draining             // Shutdown has been called
	closed               // Close has, or the drain is over
)

type connState struct {
	admitted  bool   // past startup: counted in admitted, else in starting
	user      string // once admitted
	address   string
	network   string // the address, or of IPv6 its first half
	processID uint32
	late      bool // came while draining: to be told, not waited for
}

// NewServer makes a server that is ready to Serve.
func NewServer(config Config) (*Server, error) {
	if config.Handler == nil {
		return nil, errors.New("pgwire: no handler")
	}
	if err := config.Limits.check(); err != nil {
		return nil, err
	}
	s := &Server{
		handler:   config.Handler,
		logger:    config.Logger,
		now:       config.Now,
		databases: config.Databases,
		limits:    config.Limits.withDefaults(),
		stop:      make(chan struct{}),
		drained:   make(chan struct{}),
	}
	s.pool = newBufferPool(s.limits.ReplyBytes)
	if s.logger == nil {
		s.logger = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if config.Random == nil {
		config.Random = rand.Reader
	}
	s.keys = newCancelKeys(config.Random)
	s.baseContext, s.endContext = context.WithCancel(context.Background())
	s.mu.listeners = make(map[net.Listener]struct{})
	s.mu.conns = make(map[*conn]connState)
	s.mu.byUser, s.mu.byAddress, s.mu.startingByNetwork = make(map[string]int), make(map[string]int), make(map[string]int)
	s.accounts.Store(config.Accounts)
	s.encryption.Store(config.Encryption)
	return s, nil
}

// Serve accepts clients until Shutdown or Close, and then returns nil, or until ctx ends, which
// is as if Close had been called. It closes the listener. Clients are trusted, so the
// listener must be a Unix socket or on a loopback address.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	return s.ServeAccess(ctx, listener, Access{})
}

// ErrClosed is what Serve returns on a server that was shut down or closed before.
var ErrClosed = errors.New("pgwire: serve: server is closed")

// ServeAccess is Serve with another way in. It refuses an Access that leaves the listener
// open to whom it should not.
func (s *Server) ServeAccess(ctx context.Context, listener net.Listener, access Access) error {
	defer listener.Close()
	if err := access.check(listener.Addr(), s); err != nil {
		return err
	}
	s.mu.Lock()
	if s.mu.state != serving {
		s.mu.Unlock()
		return ErrClosed
	}
	s.mu.listeners[listener] = struct{}{}
	s.mu.Unlock()
	stopClosing := context.AfterFunc(ctx, func() { s.Close() })
	defer stopClosing()

	var backoff time.Duration
	for {
		socket, err := listener.Accept()
		if err == nil {
			backoff = 0
			s.begin(socket, access)
			continue
		}
		select {
		case <-s.stop:
			return nil
		default:
		}
		if errors.Is(err, net.ErrClosed) {
			return fmt.Errorf("pgwire: accept: %w", err)
		}
		backoff = min(max(2*backoff, acceptBackoffMin), acceptBackoffMax)
		s.logger.Error("accept failed", "error", err, "pause", backoff)
		select {
		case <-s.stop:
			return nil
		case <-time.After(backoff):
		}
	}
}

// begin starts the goroutine of a new client, or closes it.
func (s *Server) begin(socket net.Conn, access Access) {
	address, network := addressOf(socket)
	s.mu.Lock()
	if s.mu.state == closed || s.mu.starting >= s.limits.Starting || s.mu.startingByNetwork[network] >= s.limits.AddressStarting ||
		s.mu.byAddress[address] >= s.limits.AddressConnections+refusedPerAddressMax {
		s.mu.Unlock()
		socket.Close()
		return
	}
	c := newConn(s, socket, access)
	late := s.mu.state == draining
	s.mu.conns[c] = connState{address: address, network: network, late: late}
	if !late {
		s.mu.early++
	}
	s.mu.starting++
	s.mu.startingByNetwork[network]++
	s.mu.byAddress[address]++
	s.conns.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.conns.Done()
		defer s.forget(c)
		s.keepAlive(socket)
		c.serve()
	}()
}

// keepAlive makes the kernel find out about clients that have vanished.
func (s *Server) keepAlive(socket net.Conn) {
	if tcp, ok := socket.(*net.TCPConn); ok {
		_ = tcp.SetKeepAliveConfig(net.KeepAliveConfig{Enable: true, Idle: s.limits.KeepAlive,
			Interval: max(s.limits.KeepAlive/keepAliveProbes, time.Second), Count: keepAliveProbes})
	}
}

// addressOf is the address of a client without its port, and the network that one host may
// have all addresses of.
func addressOf(socket net.Conn) (address, network string) {
	tcp, ok := socket.RemoteAddr().(*net.TCPAddr)
	if !ok {
		return "local", "local"
	}
	address = tcp.IP.String()
	if tcp.IP.To4() != nil {
		return address, address
	}
	const hostNetworkBits, addressBits = 64, 128
	return address, tcp.IP.Mask(net.CIDRMask(hostNetworkBits, addressBits)).String()
}

// checkRoom refuses a client for which there is no room whoever it is.
func (s *Server) checkRoom() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state != serving {
		return errShuttingDown()
	}
	if s.mu.admitted >= s.limits.Connections {
		return fatalf(CodeTooManyConnections, "sorry, too many clients already")
	}
	return nil
}

// admit counts a client as past startup, or refuses it.
func (s *Server) admit(c *conn, user string, identity Identity) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.mu.conns[c]
	switch room := s.limits.Connections - s.mu.admitted; {
	case s.mu.state != serving:
		return errShuttingDown()
	case room <= 0:
		return fatalf(CodeTooManyConnections, "sorry, too many clients already")
	case room <= s.limits.ReservedConnections && identity.Role != RoleAdmin:
		return fatalf(CodeTooManyConnections, "remaining connection slots are reserved for administrators")
	case s.mu.byUser[user] >= s.limits.UserConnections:
		return fatalf(CodeTooManyConnections, "too many connections for role \"%s\"", user)
	case s.mu.byAddress[state.address] > s.limits.AddressConnections:
		return fatalf(CodeTooManyConnections, "too many connections from address %s", state.address)
	}
	state.admitted, state.user = true, user
	s.mu.conns[c] = state
	s.startedLocked(state)
	s.mu.admitted++
	s.mu.byUser[user]++
	return nil
}

// startedLocked counts down those not past startup. REQUIRES: s.mu held.
func (s *Server) startedLocked(state connState) {
	s.mu.starting--
	countDown(s.mu.startingByNetwork, state.network)
}

// countDown takes one from a counter and drops it at none.
func countDown(counters map[string]int, name string) {
	if counters[name]--; counters[name] <= 0 {
		delete(counters, name)
	}
}

func (s *Server) setProcessID(c *conn, processID uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.mu.conns[c]
	state.processID = processID
	s.mu.conns[c] = state
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	state := s.mu.conns[c]
	delete(s.mu.conns, c)
	countDown(s.mu.byAddress, state.address)
	if state.admitted {
		s.mu.admitted--
		countDown(s.mu.byUser, state.user)
	} else {
		s.startedLocked(state)
	}
	if state.processID != 0 {
		s.keys.remove(state.processID)
	}
	if !state.late {
		s.mu.early--
		s.noteDrainedLocked()
	}
}

// noteDrainedLocked REQUIRES: s.mu held.
func (s *Server) noteDrainedLocked() {
	if s.mu.state == draining && s.mu.early == 0 {
		select {
		case <-s.drained:
		default:
			close(s.drained)
		}
	}
}

// draining reports that the server wants connections to end.
func (s *Server) draining() bool {
	select {
	case <-s.stop:
		return true
	default:
		return false
	}
}

// Shutdown ends each connection as soon as it is idle outside a transaction block, and waits
// for that. Clients that come meanwhile are told why they cannot (57P03). When ctx ends it
// closes the rest by force and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.leave(draining) {
		c.wake() // all that do not wait look at draining before they do
	}
	var err error
	select {
	case <-s.drained:
	case <-s.baseContext.Done(): // by Close
	case <-ctx.Done():
		err = fmt.Errorf("pgwire: shutdown: %w", ctx.Err())
	}
	s.Close()
	return err
}

// Close ends all connections at once and waits for their goroutines. It may be called again.
func (s *Server) Close() error {
	conns := s.leave(closed)
	s.endContext()
	for _, c := range conns {
		c.statement.end(errShutdown())
		c.socket.Close()
	}
	s.conns.Wait()
	return nil
}

// leave moves to a later state and returns the connections there are. The last state
// closes the listeners.
func (s *Server) leave(state serverState) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state == serving {
		close(s.stop)
	}
	s.mu.state = max(s.mu.state, state)
	s.noteDrainedLocked()
	if s.mu.state == closed {
		for listener := range s.mu.listeners {
			listener.Close()
			delete(s.mu.listeners, listener)
		}
	}
	conns := make([]*conn, 0, len(s.mu.conns))
	for c := range s.mu.conns {
		conns = append(conns, c)
	}
	return conns
}

// Connections is the number of clients past startup.
func (s *Server) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.mu.admitted
}
