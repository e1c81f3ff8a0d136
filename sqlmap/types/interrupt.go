package types

import "context"

// StepsPerCheck is after how many elements, matches or thousands of characters a function asks
// whether its statement has ended.
const StepsPerCheck = 4096

// Interrupted is the error of a statement that has ended while it counts its steps; it asks the
// context once in StepsPerCheck of them, at the first too. A nil context does not end.
func Interrupted(ctx context.Context, step int) error {
	if step%StepsPerCheck != 0 || ctx == nil {
		return nil
	}
	return ctx.Err()
}

// context is that of the statement; nil if there is none.
func (s *Style) context() context.Context {
	if s == nil {
		return nil
	}
	return s.Ctx
}
