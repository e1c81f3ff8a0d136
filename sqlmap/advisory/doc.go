// Package advisory is the table of advisory locks: locks on numbers that mean what
// clients agree on. It decides who holds one, who waits for whom and who must give up. It knows
// no SQL, no sessions and no cache, and is gone with the process.
//
// Words:
//
//	owner    a session, which may hold a lock several times and in both modes
//	depth    where a hold ends: 0 with the session, n > 0 with the n-th nested transaction
//	holding  what one owner has of one lock
//	waiter   an owner in the queue of a lock
//
// Invariants:
//
//	A1  Two owners hold a lock at a time only if both hold it shared.
//	A2  A queue is served in order: nobody overtakes one whom it conflicts with, but an
//	    owner that holds the lock already and would otherwise wait for one who waits for it,
//	    and where another order avoids a deadlock.
//	A3  There is never a cycle of owners waiting for each other: whoever would close one
//	    does not begin to wait.
//	A4  What an owner has, and what all have together, is bounded by [Limits].
//
// A Table is safe for concurrent use. The methods of an Owner are called by one goroutine.
package advisory
