"""Benchmarks: each prints a ratio measured within one run, since machines are noisy."""
