"""The command line (94): parses, calls one function of a lower package, prints."""
