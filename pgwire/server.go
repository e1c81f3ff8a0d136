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

	// baseContext is the ancestor of all contexts; it ends with Close.
	baseContext context.Context
	endContext  context.CancelFunc

	conns sync.WaitGroup // the goroutines of connections

	mu struct {
		sync.Mutex
		state     serverState
		listeners map[net.Listener]struct{}
		conns     map[*conn]connState
		starting  int
		admitted  int
	}
	// stop is closed when state leaves serving.
	stop chan struct{}
}

type serverState int

const (
	serving  serverState = iota
	draining             // Shutdown has been called
	closed               // Close has, or the drain is over
)

type connState struct {
	admitted  bool // past startup: counted in admitted, else in starting
	processID uint32
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
		pool:      newBufferPool(),
		stop:      make(chan struct{}),
	}
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
	return s, nil
}

// Serve accepts clients until Shutdown or Close, and then returns nil, or until ctx ends, which
// is as if Close had been called. It closes the listener. Clients are trusted, so the
// listener must be a Unix socket or on a loopback address.
func (s *Server) Serve(ctx context.Context, listener net.Listener) error {
	defer listener.Close()
	if err := localListener(listener.Addr()); err != nil {
		return err
	}
	s.mu.Lock()
	if s.mu.state != serving {
		s.mu.Unlock()
		return errors.New("pgwire: serve: server is closed")
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
			s.begin(socket)
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
func (s *Server) begin(socket net.Conn) {
	s.mu.Lock()
	if s.mu.state != serving || s.mu.starting >= s.limits.Starting {
		s.mu.Unlock()
		socket.Close()
		return
	}
	c := newConn(s, socket)
	s.mu.conns[c] = connState{}
	s.mu.starting++
	s.conns.Add(1)
	s.mu.Unlock()
	go func() {
		defer s.conns.Done()
		defer s.forget(c)
		c.serve()
	}()
}

// admit counts a client as past startup, or refuses it.
func (s *Server) admit(c *conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state != serving {
		return errShuttingDown()
	}
	if s.mu.admitted >= s.limits.Connections {
		return fatalf(CodeTooManyConnections, "sorry, too many clients already")
	}
	s.mu.conns[c] = connState{admitted: true}
	s.mu.starting--
	s.mu.admitted++
	return nil
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
	if state.admitted {
		s.mu.admitted--
	} else {
		s.mu.starting--
	}
	if state.processID != 0 {
		s.keys.remove(state.processID)
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

// Shutdown stops accepting, ends each connection as soon as it is idle outside a transaction
// block, and waits for that. When ctx ends it closes the rest by force and returns ctx's error.
func (s *Server) Shutdown(ctx context.Context) error {
	for _, c := range s.leave(draining) {
		c.wake() // all that do not wait look at draining before they do
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.conns.Wait()
	}()
	var err error
	select {
	case <-done:
	case <-ctx.Done():
		err = fmt.Errorf("pgwire: shutdown: %w", ctx.Err())
	}
	s.Close()
	<-done
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

// leave moves to a later state, closes the listeners and returns the connections there are.
func (s *Server) leave(state serverState) []*conn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.state == serving {
		close(s.stop)
	}
	s.mu.state = max(s.mu.state, state)
	for listener := range s.mu.listeners {
		listener.Close()
		delete(s.mu.listeners, listener)
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
