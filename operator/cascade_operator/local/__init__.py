"""The embedded default (90-93): a cluster of processes on one machine, with its own servers.

The planner is the operator's own. Here stands only what takes the cluster's place: Jobs are
processes, volumes are folders, and Redis, the model and the embeddings come from wheels.
"""
