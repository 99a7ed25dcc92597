"""What a run will take, found by simulating its searches without a call (65)."""
