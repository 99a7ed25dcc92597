"""The cluster as the loop sees it (82): a port and its errors."""
