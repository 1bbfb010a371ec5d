"""A state machine that does to the tables whatever may happen to them, and looks at the invariants after each step."""
