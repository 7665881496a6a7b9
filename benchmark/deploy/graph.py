"""A detector as one ONNX graph: tracing it, and asking it again."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from benchmark import machine
from benchmark.data.batch import Batch
from benchmark.deploy.judge import Answer, Array, Judge
from benchmark.errors import BenchError, DetectorError, SettingsError, StoreError
from benchmark.records.kept import Kept

if TYPE_CHECKING:
    from benchmark.deploy.loaded import LoadedDetector

INPUT, OUTPUTS = "images", ("score", "map")
METADATA = "bench"
"""Name of the graph's metadata that carries the detector's JSON."""
MOST = 256
"""Images that a graph of any batch size is promised to take together."""
INSTALL = 'pip install -e ".[onnx]"'


class ExportError(DetectorError):
    """A detector that cannot be exported, or whose graph gives other numbers."""


class Wrapped(nn.Module):
    """Backbone and scoring of a loaded detector: 8-bit images to scores and maps.

    Nothing of it belongs to one method: it calls the detector's own ``predict``.
    """

    def __init__(self, loaded: LoadedDetector) -> None:
        super().__init__()
        self.detector = loaded.detector
        self.context = replace(loaded.context, probe=True)  # features are computed, never cached

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Score images uint8 RGB (B, H, W, 3): scores (B,), and maps (B, H, W) if there are any."""
        pixels = images.permute(0, 3, 1, 2).float().div(255)
        # the number of images is left open, so nothing may depend on how many keys there are
        found = self.detector.predict(Batch(pixels, ("",)), self.context)
        return (found.scores,) if found.maps is None else (found.scores, found.maps)


def trace(loaded: LoadedDetector, inputs: Array, path: Path) -> str:
    """Write a loaded detector as an ONNX file.

    Args:
        loaded: on the processor.
        inputs: uint8 (2, H, W, 3), two images in its geometry to trace it with.
        path: the file.

    Returns:
        What batches it takes: ``any`` or ``1``, for code that goes image by image.

    Raises:
        ExportError: its code cannot be traced; says where it stops.
    """
    _needed()
    wrapped = Wrapped(loaded).eval()
    images = torch.from_numpy(inputs)
    count = torch.export.Dim("batch", min=1, max=MOST)
    reasons = []
    with torch.no_grad(), _quiet():
        wrapped(images[:1])  # what is computed once and kept is computed now, on real numbers
        for batch, shapes in (("any", {"images": {0: count}}), ("1", None)):
            example = (images if shapes else images[:1],)
            try:
                program = torch.export.export(wrapped, example, dynamic_shapes=shapes, strict=False)
                names = list(OUTPUTS[: len(program.graph_signature.user_outputs)])
                made = torch.onnx.export(
                    program,
                    example,
                    dynamo=True,
                    input_names=[INPUT],
                    output_names=names,
                    verbose=False,
                )
            except BenchError as error:  # the method's own word
                raise ExportError(
                    f"{loaded.kept.title}: {loaded.kept.key['method']} cannot be exported: {error}"
                ) from error
            except Exception as error:  # whatever a method does that cannot be traced
                reasons.append(f"batch {batch}: {_reason(error)}")
                continue
            if made is None:
                reasons.append(f"batch {batch}: the exporter gave nothing")
                continue
            made.model.metadata_props[METADATA] = json.dumps(dict(loaded.kept.info))
            made.save(str(path))
            return batch
    raise ExportError(
        f"{loaded.kept.title}: {loaded.kept.key['method']} cannot be exported, its predict cannot "
        f"be traced as a graph ({'; '.join(reasons)})"
    )


class OnnxDetector(Judge):
    """An exported detector: decoding and resizing here, the rest in the graph.

    Attributes:
        path: the ONNX file.
        threads: of onnxruntime.
    """

    def __init__(self, path: Path, threads: int = 0) -> None:
        _needed()
        import onnxruntime

        self.path, self.threads = path, threads or machine.cores()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self.threads
        options.log_severity_level = 3
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
            info = json.loads(self._session.get_modelmeta().custom_metadata_map[METADATA])
        except KeyError:
            raise StoreError(
                f"{path}: was not written by bench export; its geometry and threshold are not known"
            ) from None
        except Exception as error:  # onnxruntime has errors of its own
            raise StoreError(f"{path}: cannot be loaded by onnxruntime ({error})") from error
        self.kept = Kept(path, info)
        self._together = not isinstance(self._session.get_inputs()[0].shape[0], int)

    def answer(self, inputs: Array, keys: Sequence[str]) -> Answer:
        start = time.perf_counter()
        parts = [inputs] if self._together else [inputs[i : i + 1] for i in range(len(inputs))]
        found = [self._session.run(None, {INPUT: part}) for part in parts]
        seconds = time.perf_counter() - start
        scores, *maps = (np.concatenate(outputs) for outputs in zip(*found, strict=True))
        for what, values in (("scores", scores), *(("maps", m) for m in maps)):
            if not np.isfinite(values).all():
                raise DetectorError(f"{self.path}: {what} hold NaN or infinite values")
        return Answer(
            scores.astype(np.float64), maps[0].astype(np.float32) if maps else None, seconds
        )

    def closeness(self) -> str:
        proof = self.kept.info.get("proof")
        if not proof:
            return "This graph has not been compared with its record."
        return (
            f"On {proof['images']} test images this graph's scores differed from the record's by at "
            f"most {proof['scores']['of_range']:.1g} of their range."
        )


def set_info(path: Path, info: dict[str, Any]) -> None:
    """Replace the JSON that an ONNX file carries."""
    import onnx

    model = onnx.load(str(path), load_external_data=False)
    for entry in model.metadata_props:
        if entry.key == METADATA:
            entry.value = json.dumps(info)
    onnx.save(model, str(path))


def _needed() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise SettingsError(
            f"exported graphs need the packages onnx, onnxruntime and onnxscript ({error.name} is "
            f"missing): {INSTALL}"
        ) from error


def _reason(error: BaseException) -> str:
    """Put what stopped a trace into a line."""
    while error.__cause__ is not None and not isinstance(error, BenchError):
        error = error.__cause__
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200] if lines else 'no detail'}"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's own progress and advice from the user's screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
