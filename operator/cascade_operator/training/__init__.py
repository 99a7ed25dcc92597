"""Training (40-49, 63): candidates, metric, search, posterior, lattice, budget, checkpoints.

The search is pure: what it needs of the world stands behind four ports (an evaluator, a
checkpoint store, a guard that says when to leave, and a callback for progress), so that its laws
are tested in milliseconds. ``calls/`` holds the way a prompt takes to a model server and back.
"""
