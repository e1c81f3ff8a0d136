// Package query runs read-only SELECTs of any shape over the relations of a
// [schema.Catalog], with PostgreSQL's names, types, coercions and errors. For statements
// that are no queries, the hot ones and writes, a [Compiler] makes their expressions by the
// same rules. It knows nothing of caches, sessions and the wire.
//
// A statement passes through three stages, each in files of its own:
//
//	analyze   parse tree → block: names resolved, every expression typed (static types
//	          from here on, so that Describe answers before Execute)
//	plan      block → plan: conditions pushed down, joins ordered, look-ups chosen
//	execute   plan → rows: expressions compiled to closures for one execution
//
// Words:
//
//	block     one SELECT, VALUES or set operation; blocks nest as subqueries do
//	range     an item of FROM: a relation, subquery, function, VALUES or WITH query
//	slot      where the current row of a range is while a block runs
//	frame     the slots of one running block, with the frame of the block around it
//	level     how many blocks further out a column belongs to; 0: this block
//
// Invariants:
//
//	Q1  What is not supported is refused with 0A000 naming the construct, or 42883; it
//	    never gives an empty or wrong result.
//	Q2  A Statement is immutable and may be run by any number of goroutines.
//	Q3  Rows are immutable once made: a slot is replaced, never written to. They may
//	    be kept without copying.
//	Q4  Every loop over rows takes steps from the budget, and everything kept takes
//	    bytes: a statement ends with its result, 54000 or 57014.
//	Q5  Errors are *pgwire.Error. While analyzing, Position is a 1-based byte offset;
//	    whoever holds the text turns it into characters.
//	Q6  An Expression that is a literal, a parameter or a column costs no allocation to
//	    evaluate, and reads no other column of its Row. Others are compiled once a run.
package query
