"""What must be true of a language engine, and the arithmetic that every engine shares; knows no engine."""
