// Package are is PostgreSQL's regular expressions ("AREs"): their syntax, flags and errors, run
// by one of two engines. Package regexp runs what it can, in time linear in the text; what
// it cannot express (back references, look-around, some word boundaries, large
// repetitions) is run by a backtracking engine within a bound of time.
//
// It knows nothing of SQL functions. An Expression may be used by one goroutine at a time.
//
// Differences from PostgreSQL:
//
//   - Classes and word boundaries are ASCII's, as in a database with the locale C.
//   - Where an expression has non-greedy quantifiers, and in the backtracking engine,
//     each quantifier and alternative is preferred for itself, as in Perl; PostgreSQL
//     prefers the longest or shortest match of the whole.
//
// Invariants:
//
//	E1  Errors are *pgwire.Error, with PostgreSQL's texts where it refuses the same.
//	E2  An expression without non-greedy quantifiers that package regexp runs finds the
//	    leftmost and longest match.
//	E3  A look for a match ends within backtrackTimeMax, and soon after its context.
package are
