"""Resources (70-79): what memory a worker uses and may use, and the gate before its limit."""
