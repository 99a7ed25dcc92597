"""The operator's own figures, for Prometheus."""
