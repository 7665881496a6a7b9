"""Frozen features: which backbone, which weights, and the cache that methods share."""
