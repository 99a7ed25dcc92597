"""Builders of the objects a run needs (82): pure functions to plain manifests."""
