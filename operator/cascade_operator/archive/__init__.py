"""Archives (50-59): one file per group size, written atomically, read as if it were hostile."""
