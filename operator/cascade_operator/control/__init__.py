"""The operator (80-89): a pure planner and its manifests, the cluster's port, the loop.

``domain`` decides, ``manifests`` builds what it decided on, ``kube`` is the port to a cluster and
``loop`` carries a decision out. The same planner serves a real cluster and the local one.
"""
