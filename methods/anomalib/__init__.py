"""Any model of anomalib (Akcay et al., ICIP 2022), in the same tables; needs the extra ``anomalib``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import metadata
from typing import Any, ClassVar, Self

import torch

from benchmark import (
    Batch,
    Context,
    Detector,
    FeatureSpec,
    Geometry,
    Images,
    Prediction,
    State,
    upsample,
)
from benchmark.errors import SettingsError

from .construct import asked, construct, quiet, read
from .training import all_seeded, train_model


def _installed() -> str:
    try:
        return metadata.version("anomalib")
    except metadata.PackageNotFoundError:
        return "none"


class Anomalib(Detector):
    """anomalib: any of its models, fitted on our training split and measured by our metrics.

    Library: Akcay et al., "Anomalib: A Deep Learning Library for Anomaly Detection", ICIP 2022.
    The model is trained by Lightning as anomalib trains it. Its scores and maps are taken before its
    post-processor, whose thresholds and min-max come from labelled images and whose clamp to [0, 1]
    makes ties. Resizing and cropping are the run's geometry; of the model's own pre-processor the
    crop is left out and the normalisation of colours stays. A map of another resolution than the
    input is upsampled.

    Pre-trained networks that a model asks timm for come from the run (``--weights-dir``, hubs,
    ``--weights random``) and are in the record. For a bare name such as resnet18 a hub gives
    torchvision's first ImageNet weights, as for our methods; anomalib alone would take timm's
    default. What a model fetches in another way (torchvision in Cfa, Csflow and UniNet, files in
    Dsr, EfficientAd and AnomalyVFM) it fetches itself, and no record can vouch for it. Where it
    validates while it trains, it sees the training images.

    Args:
        model: a class of anomalib.models, such as Patchcore.
        arguments: of its constructor, as ``NAME=VALUE``; the rest keep anomalib's defaults.
        epochs: passes over the training images; None takes the model's own number (one pass for
            those that only collect features) or that of its paper, where it is in ``PASSES``.
        batch: images per training step.
    """

    version = f"2 with anomalib {_installed()}"
    title = "anomalib"
    citation = "Akcay et al. 2022"
    paper = Geometry(resize=(256, 256))
    smoke = {"arguments": ("backbone=resnet18",), "epochs": 1}
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "anomalib_padim": {"model": "Padim"},
        "anomalib_patchcore": {"model": "Patchcore"},
        "anomalib_stfpm": {"model": "Stfpm"},
    }

    def __init__(
        self,
        *,
        model: str = "Padim",
        arguments: tuple[str, ...] = (),
        epochs: int | None = None,
        batch: int = 32,
    ) -> None:
        self.model = model
        self.arguments = arguments
        self.epochs = epochs
        self.batch = batch
        self._filled = True
        for text in arguments:
            if not text.partition("=")[0].isidentifier() or "=" not in text:
                raise SettingsError(
                    f"anomalib.arguments: got {text!r}; write NAME=VALUE, for instance "
                    "--set anomalib.arguments=[backbone=resnet18,num_neighbors=1]"
                )
        if batch < 1 or (epochs is not None and epochs < 1):
            raise SettingsError(
                f"anomalib: batch is {batch}, epochs {epochs}: both must be positive"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        networks = asked(self.model, self.arguments)
        return [FeatureSpec(name, layers, normalise=False, read=False) for name, layers in networks]

    def fit(self, train: Images, context: Context) -> Self:
        height, width = train.batch([0]).size
        self.size_ = [height, width]
        with quiet(), all_seeded(context):
            made, lent = self._make(context)
            before = {k: v.clone() for k, v in made.state_dict().items() if k.startswith(lent)}
            self.steps_ = train_model(made, train, context, self.epochs, self.batch, self.model)
        self.model_: Any = made.eval().requires_grad_(False).to(context.device)
        after = self.model_.state_dict()
        changed = [k for k, v in before.items() if not torch.equal(v, after[k].to(v))]
        self.lent_ = [prefix for prefix in lent if not any(k.startswith(prefix) for k in changed)]
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        if not self._filled:
            self._fill(context)
        with context.autocast():
            out = self.model_.to(context.device)(batch.pixels.to(context.device))
        maps = out.anomaly_map
        if maps is not None:
            maps = maps.reshape(len(batch), *maps.shape[-2:]).float()  # (B, 1, h, w) or (B, h, w)
            if tuple(maps.shape[1:]) != batch.size:
                maps = upsample(maps, batch.size)
        scores = maps.flatten(1).amax(1) if out.pred_score is None else out.pred_score
        return Prediction(scores.reshape(len(batch)).float(), maps)

    def facts(self) -> dict[str, Any]:
        return {
            "anomalib": _installed(),
            "lightning": metadata.version("lightning"),
            "steps": self.steps_,
        }

    def build(self) -> None:
        with quiet():
            self.model_ = self._make(None)[0].eval().requires_grad_(False)

    def state(self) -> State:
        """Return what was learned; pre-trained networks that stayed as they were are left out."""
        whole = super().state()
        lent = tuple(f"model_.{prefix}" for prefix in self.lent_)
        kept = {k: v for k, v in whole.tensors.items() if not (lent and k.startswith(lent))}
        return State(kept, whole.values)

    def load_state(self, state: State) -> Self:
        for name, value in state.values.items():
            setattr(self, name, value)
        self.build()
        tensors = {k.removeprefix("model_."): v for k, v in state.tensors.items()}
        self.model_.load_state_dict(tensors, strict=False)
        self._filled = False
        return self

    def _fill(self, context: Context) -> None:
        """Give a restored model the pre-trained networks that its state left out."""
        with quiet():
            whole = self._make(context)[0].state_dict()
        lent = {k: v for k, v in whole.items() if k.startswith(tuple(self.lent_))}
        self.model_.load_state_dict(lent, strict=False)
        self._filled = True

    def _make(self, context: Context | None) -> tuple[Any, tuple[str, ...]]:
        """Construct the model, and tell under which prefixes its pre-trained networks stand."""
        source = None if context is None else lambda name: context.backbone(name).tensors()
        height, width = self.size_
        given = read(self.model, self.arguments)
        made, networks = construct(self.model, given, (height, width), source)
        places = {id(network) for _, network in networks}
        return made, tuple(f"{n}." for n, m in made.named_modules() if id(m) in places)
