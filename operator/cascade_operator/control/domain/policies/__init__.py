"""One policy, one small module: each a pure function of what was observed."""
