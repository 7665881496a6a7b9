"""A benchmark harness for image anomaly detection.

Importing this package is cheap: its names load what they need when they are first used. Plugins need
one line, for instance ``from benchmark import Batch, Context, Detector, Images, Prediction``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.api import Results as Results
    from benchmark.api import compare as compare
    from benchmark.api import export as export
    from benchmark.api import load_detector as load_detector
    from benchmark.api import load_onnx as load_onnx
    from benchmark.api import measure as measure
    from benchmark.api import predict as predict
    from benchmark.api import prove as prove
    from benchmark.api import report as report
    from benchmark.api import run as run
    from benchmark.api import table as table
    from benchmark.data.batch import Batch as Batch
    from benchmark.data.batch import Images as Images
    from benchmark.data.dataset import Category as Category
    from benchmark.data.dataset import Dataset as Dataset
    from benchmark.data.dataset import Sample as Sample
    from benchmark.data.geometry import Geometry as Geometry
    from benchmark.detector.asset import Asset as Asset
    from benchmark.detector.base import Detector as Detector
    from benchmark.detector.base import Prediction as Prediction
    from benchmark.detector.context import Context as Context
    from benchmark.detector.maps import smooth as smooth
    from benchmark.detector.maps import upsample as upsample
    from benchmark.detector.state import State as State
    from benchmark.detector.training import Stages as Stages
    from benchmark.detector.training import Training as Training
    from benchmark.detector.training import seeded as seeded
    from benchmark.detector.training import split_off as split_off
    from benchmark.features.spec import CLS as CLS
    from benchmark.features.spec import POOLED as POOLED
    from benchmark.features.spec import FeatureSpec as FeatureSpec
    from benchmark.records.evaluate import evaluate as evaluate
    from benchmark.records.frame import load_results as load_results

__version__ = "0.1.0"

_HOME = {
    "CLS": "features.spec",
    "Asset": "detector.asset",
    "Results": "api",
    "compare": "api",
    "evaluate": "records.evaluate",
    "export": "api",
    "load_detector": "api",
    "load_onnx": "api",
    "measure": "api",
    "predict": "api",
    "prove": "api",
    "report": "api",
    "run": "api",
    "table": "api",
    "Batch": "data.batch",
    "Category": "data.dataset",
    "Context": "detector.context",
    "Dataset": "data.dataset",
    "Detector": "detector.base",
    "FeatureSpec": "features.spec",
    "Geometry": "data.geometry",
    "Images": "data.batch",
    "POOLED": "features.spec",
    "Prediction": "detector.base",
    "Sample": "data.dataset",
    "Stages": "detector.training",
    "State": "detector.state",
    "Training": "detector.training",
    "load_results": "records.frame",
    "seeded": "detector.training",
    "smooth": "detector.maps",
    "split_off": "detector.training",
    "upsample": "detector.maps",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
    return getattr(import_module(f"benchmark.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
