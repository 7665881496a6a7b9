"""The interface that a method implements, and what a run lends it."""
