"""A benchmark harness for image anomaly detection.

Importing this package is cheap; the heavy libraries load when a run starts.
"""

__version__ = "0.1.0"
