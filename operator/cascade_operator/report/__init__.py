"""The report of a run (66): from its archives and its status to one self-contained page."""
