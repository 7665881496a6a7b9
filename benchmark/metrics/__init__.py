"""Exact metrics for image anomaly detection: scores and masks in, numbers out.

Every function stands alone: it takes NumPy arrays or torch tensors and knows nothing of the
harness around it. Importing this package costs NumPy and nothing else.

>>> import numpy as np
>>> from benchmark.metrics import pixel_metrics
>>> maps = np.array([[[0.1, 0.9], [0.2, 0.3]]], dtype=np.float32)  # (N, H, W)
>>> masks = np.array([[[0, 1], [0, 0]]])
>>> pixel_metrics(maps, masks).pixel_auroc
1.0
"""

from benchmark.metrics.breakdown import image_metrics_by_type, pixel_metrics_by_type
from benchmark.metrics.curves import Curve, Curves
from benchmark.metrics.image import ImageMetrics, image_metrics
from benchmark.metrics.inputs import MetricInputError
from benchmark.metrics.pixel import PixelMeter, PixelMetrics, pixel_metrics
from benchmark.metrics.regions import Region, region_overlap
from benchmark.metrics.threshold import normal_threshold

__all__ = [
    "Curve",
    "Curves",
    "ImageMetrics",
    "MetricInputError",
    "PixelMeter",
    "PixelMetrics",
    "Region",
    "image_metrics",
    "image_metrics_by_type",
    "normal_threshold",
    "pixel_metrics",
    "pixel_metrics_by_type",
    "region_overlap",
]
