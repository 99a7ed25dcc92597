"""The three Jobs of a run (82-86): prepare, group and archive, composed from the training side.

What a Job does is in the packages below; here stands only the order of its steps, and how it
leaves: with a termination message and one of the documented exit codes.
"""
