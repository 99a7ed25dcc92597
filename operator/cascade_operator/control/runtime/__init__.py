"""The operator's process: kopf's watches, leadership, probes, logs, and how it starts and ends."""
