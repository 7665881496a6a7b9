"""Methods and data sets found by name, and the contract that they keep."""
