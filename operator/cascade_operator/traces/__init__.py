"""Validated traces, stages 10-19: reading, splitting, embedding, reduction, the binary store."""
