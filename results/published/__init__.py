"""The papers' printed numbers, one per row, with their origin (``published.csv``)."""
