"""Everything that speaks HTTP, one service a file."""
