"""Stored results, read and measured again without running anything."""
