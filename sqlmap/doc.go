// Package sqlmap turns SQL text into cache operations and their results into rows: it
// implements the handler that package pgwire calls, over a *cache.Cache. It owns the
// dialect, the session's settings and transactions, and the mapping of the domain's
// errors to SQLSTATEs. Types are in sqlmap/types, expressions in sqlmap/query. It knows
// nothing of frames and sockets, nor of how the cache keeps its entries.
//
// Words:
//
//	plan       what a text means; immutable, shared by all sessions through the plan cache
//	action     the part of a plan that runs
//	execution  one run of a plan by one portal
//	change     one write of one key, applicable to whatever entry the key has then
//	pending    written inside a transaction and not yet committed
//
// Invariants:
//
//	S1  A statement outside the dialect is refused with 0A000 and a HINT naming the
//	    nearest supported form; never answered wrongly.
//	S2  No text makes the planner panic or overflow the stack: the depth of the parse
//	    tree is bounded before it is made.
//	S3  Plans hold nothing of a session: settings, time and parameters come in with an
//	    execution.
//	S4  What a transaction writes, deletes and invalidates is kept in the session, and its
//	    own reads see it: pending keys in place of the cache's, and nothing of what it has
//	    invalidated. COMMIT hands all of it to the cache as one block, in which each write
//	    is applied again to the entry that the key has then. What a write relied on and no
//	    longer holds (a key absent, a row matching) fails the COMMIT with 40001. Counts
//	    are of what the transaction saw; an invalidation covers what is there at COMMIT.
//	S5  A statement that names several keys and stands alone is such a transaction. Only
//	    UPDATE and DELETE of what a scan finds go entry by entry when they stand alone,
//	    because their number is not bounded.
//	S6  The prepared get of a value by key allocates nothing: its portal is reused, its
//	    parameters are used in place and its Hit is part of the portal.
//	S7  What a user may do is decided by the session's grants and nowhere else, before
//	    anything is read or changed: namespaces outside of a user's are refused (42501),
//	    and where rows of several are shown the others are left out.
//
// A Handler is safe for concurrent use; a session and its portals belong to one goroutine.
package sqlmap
