"""The planner (80-82): pure, total, deterministic; the clock is an argument."""
