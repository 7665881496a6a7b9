"""What a difference is worth: ranks over categories, tests on the same images, power."""
