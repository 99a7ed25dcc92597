"""Commands that speak to a cluster: ``status``, ``top``, ``retrain``, ``suspend``, ``resume``."""
