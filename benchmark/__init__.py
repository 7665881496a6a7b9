"""A benchmark harness for image anomaly detection.

Importing this package is cheap; the heavy libraries load when a run starts.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.records.frame import load_results as load_results

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """``benchmark.load_results``, imported when it is first asked for."""
    if name == "load_results":
        from benchmark.records.frame import load_results

        return load_results
    raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
