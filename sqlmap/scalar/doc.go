// Package scalar compiles SQL expressions to typed evaluators, resolving types, operators,
// functions and parameters as PostgreSQL does: literals and undeclared parameters are
// unknown until their context gives them a type. It knows no statements and no relations
// beyond the names and types of their columns.
//
// Invariants:
//
//	X1  A compiled [Expr] is immutable and may be evaluated by any number of goroutines,
//	    each with its own [Env].
//	X2  Every error is a *pgwire.Error. Its Position, while compiling, is a 1-based byte
//	    offset; whoever holds the text turns it into characters.
//	X3  Compile recurses as deep as the parse tree, whose depth the caller has bounded.
//	X4  Values are borrowed as package types describes; an evaluation never changes its
//	    arguments.
package scalar
