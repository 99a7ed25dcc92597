"""Monitoring (60-69): stage logs and timings, live progress, what a run's figures mean."""
