"""Images on disk and in memory: data sets, geometry, decoding, loading, verification."""
