"""The report's pictures: each a function from report data to a matplotlib figure."""
