"""Agents (00-39): nodes, their signatures and adapters, and the cascade as one DSPy program.

A tier's stage code is the decade its nodes run in: 00 bmad, 10 baml, 20 speckit, 30 execution.
"""
