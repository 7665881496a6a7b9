"""A benchmark harness for image anomaly detection.

Importing this package is cheap: its names load what they need when they are first used. Plugins need
one line, for instance ``from benchmark import Batch, Context, Detector, Images, Prediction``.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from benchmark.api.deploy import export as export
    from benchmark.api.deploy import load_detector as load_detector
    from benchmark.api.deploy import load_onnx as load_onnx
    from benchmark.api.deploy import predict as predict
    from benchmark.api.deploy import prove as prove
    from benchmark.api.parts import available as available
    from benchmark.api.parts import check as check
    from benchmark.api.parts import shortcuts as shortcuts
    from benchmark.api.parts import verify as verify
    from benchmark.api.running import Results as Results
    from benchmark.api.running import dry_run as dry_run
    from benchmark.api.running import measure as measure
    from benchmark.api.running import run as run
    from benchmark.api.views import check_table as check_table
    from benchmark.api.views import compare as compare
    from benchmark.api.views import plot as plot
    from benchmark.api.views import report as report
    from benchmark.api.views import scores as scores
    from benchmark.api.views import table as table
    from benchmark.data.batch import Batch as Batch
    from benchmark.data.batch import Images as Images
    from benchmark.data.dataset import ArraySource as ArraySource
    from benchmark.data.dataset import Category as Category
    from benchmark.data.dataset import Dataset as Dataset
    from benchmark.data.dataset import Sample as Sample
    from benchmark.data.geometry import Geometry as Geometry
    from benchmark.data.images import FileSource as FileSource
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
    from benchmark.plugins.scaffold import new_method as new_method
    from benchmark.records.evaluate import evaluate as evaluate
    from benchmark.records.exchange import export_results as export_results
    from benchmark.records.frame import load_results as load_results
    from benchmark.records.merge import Merged as Merged
    from benchmark.records.merge import merge as merge
    from benchmark.runner.pretrain import pretrain as pretrain

__version__ = "0.1.0"

_HOME = {
    "Asset": "detector.asset",
    "ArraySource": "data.dataset",
    "Merged": "records.merge",
    "export_results": "records.exchange",
    "merge": "records.merge",
    "Batch": "data.batch",
    "CLS": "features.spec",
    "Category": "data.dataset",
    "Context": "detector.context",
    "Dataset": "data.dataset",
    "Detector": "detector.base",
    "FeatureSpec": "features.spec",
    "FileSource": "data.images",
    "Geometry": "data.geometry",
    "Images": "data.batch",
    "POOLED": "features.spec",
    "Prediction": "detector.base",
    "Results": "api.running",
    "Sample": "data.dataset",
    "Stages": "detector.training",
    "State": "detector.state",
    "Training": "detector.training",
    "available": "api.parts",
    "check": "api.parts",
    "check_table": "api.views",
    "compare": "api.views",
    "dry_run": "api.running",
    "evaluate": "records.evaluate",
    "export": "api.deploy",
    "load_detector": "api.deploy",
    "load_onnx": "api.deploy",
    "load_results": "records.frame",
    "measure": "api.running",
    "new_method": "plugins.scaffold",
    "plot": "api.views",
    "predict": "api.deploy",
    "pretrain": "runner.pretrain",
    "prove": "api.deploy",
    "report": "api.views",
    "run": "api.running",
    "scores": "api.views",
    "seeded": "detector.training",
    "smooth": "detector.maps",
    "split_off": "detector.training",
    "table": "api.views",
    "upsample": "detector.maps",
    "shortcuts": "api.parts",
    "verify": "api.parts",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first asked for."""
    if name not in _HOME:
        raise AttributeError(f"module 'benchmark' has no attribute {name!r}")
    return getattr(import_module(f"benchmark.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
