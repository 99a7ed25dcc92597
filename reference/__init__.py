"""Pages of `docs/reference`, made from the code that they describe.

`python -m reference` writes them, `--check` says which are out of date.
"""
