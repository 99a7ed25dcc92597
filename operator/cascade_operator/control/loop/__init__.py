"""Carrying plans out (82): observe, plan, apply, write status, then events."""
