package sqlmap

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"pgcache/cache"
	"pgcache/pgwire"
	"pgcache/sqlmap/schema"
	"pgcache/sqlmap/types"
)

// invalidationChannel is where the cache tells what clients that keep copies must forget.
// The channel of one namespace has its name appended.
const invalidationChannel = "cache_invalidation"

const (
	channelBytesMax = 63   // as in PostgreSQL: a name
	payloadBytesMax = 7999 // as in PostgreSQL
	// notifiesMax and listensMax bound what a transaction, and a session, may have.
	notifiesMax = 10_000
	listensMax  = 1_000
	// channelHashBytes of the digest of a namespace too long for a channel's name.
	channelHashBytes = 16
)

// namespaceChannel is the channel of one namespace.
func namespaceChannel(ns string) string {
	if channel := invalidationChannel + ":" + ns; len(channel) <= channelBytesMax {
		return channel
	}
	digest := sha256.Sum256([]byte(ns))
	return invalidationChannel + "#" + hex.EncodeToString(digest[:channelHashBytes])
}

// isCacheChannel reports a channel that only the cache sends to.
func isCacheChannel(channel string) bool {
	rest, ok := strings.CutPrefix(channel, invalidationChannel)
	return ok && (rest == "" || rest[0] == ':' || rest[0] == '#')
}

// listeners are the sessions that listen, by channel. Safe for concurrent use.
type listeners struct {
	cache *cache.Cache

	mu            sync.RWMutex
	byChannel     map[string]map[*session]struct{}
	cacheChannels int // listeners of the cache's channels
}

func newListeners(c *cache.Cache) *listeners {
	return &listeners{cache: c, byChannel: map[string]map[*session]struct{}{}}
}

func (l *listeners) add(s *session, channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sessions := l.byChannel[channel]
	if sessions == nil {
		sessions = map[*session]struct{}{}
		l.byChannel[channel] = sessions
	}
	if _, twice := sessions[s]; twice {
		return
	}
	sessions[s] = struct{}{}
	if isCacheChannel(channel) {
		if l.cacheChannels++; l.cacheChannels == 1 {
			l.cache.WatchEvents(l.invalidated)
		}
	}
}

func (l *listeners) remove(s *session, channel string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sessions := l.byChannel[channel]
	if _, ok := sessions[s]; !ok {
		return
	}
	if delete(sessions, s); len(sessions) == 0 {
		delete(l.byChannel, channel)
	}
	if isCacheChannel(channel) {
		if l.cacheChannels--; l.cacheChannels == 0 {
			l.cache.WatchEvents(nil)
		}
	}
}

// notify sends to all listeners of a channel. One whose mailbox is full has missed
// something, which it can only learn by losing its connection.
func (l *listeners) notify(processID uint32, channel, payload string) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for s := range l.byChannel[channel] {
		if !s.info.Notifications.Put(processID, channel, payload) {
			s.tooSlow()
		}
	}
}

// tooSlow ends a session that did not read its notifications.
func (s *session) tooSlow() {
	e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too many notifications wait for this session")
	e.Hint = "Read them as they come, or listen to fewer channels; listen again and drop what you keep."
	s.info.Backends.EndSession(s.info.ProcessID, e)
}

// invalidation is what the payload says. Op is put, key, prefix, tags, dependencies,
// namespace or all.
type invalidation struct {
	Op           string   `json:"op"`
	Namespace    *string  `json:"ns,omitempty"`
	Key          *string  `json:"key,omitempty"`
	Prefix       *string  `json:"prefix,omitempty"`
	Tags         []string `json:"tags,omitempty"`
	Dependencies []string `json:"dependencies,omitempty"`
	Seq          uint64   `json:"seq"`
}

var eventOps = [...]string{
	cache.EventPut: "put", cache.EventKey: "key", cache.EventPrefix: "prefix", cache.EventTags: "tags",
	cache.EventDependencies: "dependencies", cache.EventNamespace: "namespace", cache.EventAll: "all",
}

// payload is an event as JSON, or, if that is too long, one that covers it.
func invalidationPayload(e *cache.Event) string {
	n := invalidation{Op: eventOps[e.Kind], Seq: uint64(e.Seq)}
	if e.Namespace != "" {
		n.Namespace = &e.Namespace
	}
	switch e.Kind {
	case cache.EventPut, cache.EventKey:
		n.Key = &e.Key
	case cache.EventPrefix:
		n.Prefix = &e.Key
	case cache.EventTags:
		n.Tags = e.Labels
	case cache.EventDependencies:
		n.Dependencies = e.Labels
	}
	text, err := json.Marshal(n)
	if err != nil || len(text) > payloadBytesMax {
		return allPayload(n.Namespace, n.Seq)
	}
	return string(text)
}

func allPayload(ns *string, seq uint64) string {
	text, err := json.Marshal(invalidation{Op: "all", Namespace: ns, Seq: seq})
	if err != nil || len(text) > payloadBytesMax {
		return `{"op":"all"}`
	}
	return string(text)
}

// invalidated passes the cache's events on.
func (l *listeners) invalidated(events []cache.Event) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for i := range events {
		e := &events[i]
		payload := invalidationPayload(e)
		l.tell(e, invalidationChannel, payload)
		if e.Namespace != "" {
			l.tell(e, namespaceChannel(e.Namespace), payload)
			continue
		}
		for channel := range l.byChannel {
			if isCacheChannel(channel) && channel != invalidationChannel {
				l.tell(e, channel, payload)
			}
		}
	}
}

// tell sends an event to those listeners of a channel that may know of its namespace. For
// one that does not keep up, one message stands for all that wait. REQUIRES: l.mu held, shared.
func (l *listeners) tell(e *cache.Event, channel, payload string) {
	for s := range l.byChannel[channel] {
		if e.Namespace != "" && !s.grants.covers(e.Namespace) || s.info.Notifications.Put(0, channel, payload) {
			continue
		}
		if !s.info.Notifications.Replace(0, channel, allPayload(nil, uint64(e.Seq))) {
			s.tooSlow()
		}
	}
}

// listening is what a session listens to, and what its transaction will change of that.
type listening struct {
	channels []string
	// pending take effect at COMMIT, in order.
	listens  []listenChange
	notifies []notify
	seen     map[notify]struct{}
}

type listenChange struct {
	channel string // empty: all
	stop    bool
}

type notify struct{ channel, payload string }

// changeListening notes a LISTEN or UNLISTEN.
func (s *session) changeListening(c listenChange) error {
	if len(s.listening.listens) >= listensMax || !c.stop && len(s.listening.channels) >= listensMax {
		return tooMany("channels that a session listens to", listensMax)
	}
	s.listening.listens = append(s.listening.listens, c)
	s.settleListening()
	return nil
}

// notify notes a NOTIFY. In a transaction, equal ones are sent once.
func (s *session) notify(channel, payload string) error {
	switch {
	case channel == "":
		return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "channel name cannot be empty")
	case len(channel) > channelBytesMax:
		return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "channel name too long")
	case len(payload) > payloadBytesMax:
		return pgwire.Errorf(pgwire.CodeInvalidParameterValue, "payload string too long")
	case isCacheChannel(channel):
		e := pgwire.Errorf(pgwire.CodeInsufficientPrivilege, "channel \"%s\" is the cache's own", channel)
		e.Hint = "Invalidate what is meant, which also tells the listeners, or use another channel."
		return e
	case len(s.listening.notifies) >= notifiesMax:
		return tooMany("notifications of one transaction", notifiesMax)
	}
	n := notify{channel, payload}
	if _, twice := s.listening.seen[n]; twice {
		return nil
	}
	if s.listening.seen == nil {
		s.listening.seen = map[notify]struct{}{}
	}
	s.listening.seen[n] = struct{}{}
	s.listening.notifies = append(s.listening.notifies, n)
	s.settleListening()
	return nil
}

func tooMany(what string, most int64) error {
	e := pgwire.Errorf(pgwire.CodeProgramLimitExceeded, "too many %s", what)
	e.Detail = formatLimit(most+1, most, "count", "")
	return e
}

// settleListening applies at once what is not part of a transaction.
func (s *session) settleListening() {
	if !s.tx.isOpen {
		s.endListening(true)
	}
}

// listeningMark is what a savepoint goes back to.
type listeningMark struct{ listens, notifies int }

func (l *listening) mark() listeningMark { return listeningMark{len(l.listens), len(l.notifies)} }

func (l *listening) backTo(m listeningMark) {
	for _, n := range l.notifies[m.notifies:] {
		delete(l.seen, n)
	}
	l.listens, l.notifies = l.listens[:m.listens], l.notifies[:m.notifies]
}

// endListening applies or drops what the transaction did to listening.
func (s *session) endListening(isCommit bool) {
	l := &s.listening
	if isCommit {
		for _, c := range l.listens {
			s.applyListening(c)
		}
		for _, n := range l.notifies {
			s.handler.listeners.notify(s.info.ProcessID, n.channel, n.payload)
		}
	}
	l.listens, l.notifies, l.seen = nil, nil, nil
}

func (s *session) applyListening(c listenChange) {
	l := &s.listening
	switch {
	case !c.stop:
		if !slices.Contains(l.channels, c.channel) {
			l.channels = append(l.channels, c.channel)
			s.handler.listeners.add(s, c.channel)
		}
	case c.channel == "":
		for _, channel := range l.channels {
			s.handler.listeners.remove(s, channel)
		}
		l.channels = nil
	default:
		if i := slices.Index(l.channels, c.channel); i >= 0 {
			l.channels = slices.Delete(l.channels, i, i+1)
			s.handler.listeners.remove(s, c.channel)
		}
	}
}

func listenFunctions(name string) []function {
	switch name {
	case "pg_notify":
		return []function{{Name: name, Args: []types.OID{types.Text, types.Text}, Returns: types.Void, OnNull: true, IsVolatile: true,
			Call: func(e *schema.Call, args []types.Value) (types.Value, error) {
				return types.Value{}, sessionOf(e.Env).notify(args[0].Text(), args[1].Text())
			}}}
	case "cache_channel":
		return []function{{Name: name, Args: []types.OID{types.Text}, ArgNames: []string{"ns"}, Returns: types.Text,
			Call: func(_ *schema.Call, args []types.Value) (types.Value, error) {
				return types.OfText(namespaceChannel(args[0].Text())), nil
			}}}
	}
	return nil
}

func listen(c listenChange) *plan {
	tag := "LISTEN"
	if c.stop {
		tag = "UNLISTEN"
	}
	return simple(func(x *execution) (outcome, error) {
		return outcome{tag: tag}, x.session.changeListening(c)
	})
}

func notifyStatement(channel, payload string) *plan {
	return simple(func(x *execution) (outcome, error) {
		return outcome{tag: "NOTIFY"}, x.session.notify(channel, payload)
	})
}
