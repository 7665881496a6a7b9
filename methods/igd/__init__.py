"""IGD: interpolated Gaussian descriptors on two scales (Chen, Tian, Pang, Carneiro 2021)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor, nn

from benchmark import (
    POOLED,
    Batch,
    Context,
    Detector,
    FeatureSpec,
    Geometry,
    Images,
    Prediction,
    Stages,
    seeded,
)
from benchmark.errors import SettingsError

from .._parts.crops import fold
from .encoder import SIDE, IgdEncoder, padded
from .gsvdd import descriptor
from .model import ScaleModel
from .networks import CHANNELS
from .scoring import image_weights, judged, map_weights, parts_of_images, weighted_sum
from .training import ScaleTraining, Schedule
from .views import STRIDE, Views, pooled_features, scales_for

Scale = Literal["global", "local"]
EPOCHS, SMALL_EPOCHS = 256, 128
PUBLISHED_BATCH = {"global": 16, "local": 2}
"""Images per step of the official code; local ones come with all their patches."""


class Igd(Detector):
    """IGD: images are rebuilt from codes that a Gaussian describes and a critic interpolates.

    Paper: Chen, Tian, Pang, Carneiro, "Unsupervised Anomaly Detection and Localisation with
    Multi-scale Interpolated Gaussian Descriptors", arXiv 2101.10043 v1, sections 3 and 4.2. A
    global model sees whole images, a local one patches of 32 × 32 at every 16th pixel; each has an
    encoder whose pre-trained body is frozen, a decoder, a critic and a Gaussian SVDD. Images up to
    32 × 32 (MNIST, CIFAR10), padded to 32 by repeating their edges, have the local model only, as a
    single patch.

    ``formulation="equations"`` is the paper, read so that it makes sense: sums over pixels are
    means and errors are measured in units of the pixel range, so that ρ balances as intended;
    "reversing" codes means the batch (ACAI); eq. 9's covariance is one; the patches of eq. 8 are
    the stride-16 grid and their number is divided by; each scale is trained by its own term of
    eq. 8; β weights each scale's absolute error along with its similarity; ℓ_h(x) of eq. 11 is that
    of the image, hence of the global model; a pixel's similarity in eq. 12 is the product of eq. 9
    at that pixel, and a map has no description, which is the same at all pixels of an image. A
    similarity counts 0 where its mean at some scale is not positive, with a gradient that leads
    back. Local batches are drawn over the patches of all images.

    ``formulation="public_code"`` is what https://github.com/tianyu0207/IGD runs; the folder's README
    lists where it differs. κ, ``floor``, ξ and β then have no effect, and ``batch`` only on images up
    to 32 × 32, which that code does not cover.

    In neither: the official scripts log the best epoch on test images; here the last one counts.
    The global encoder is the pre-trained network itself, as in the code; the paper distils it. The
    code's iteration counts and drop-last rules are kept to within one batch per epoch.

    A prediction's ``parts`` are ``reconstruction_global``, ``description_global``,
    ``reconstruction_local`` and ``description_local``, as far as there are such.

    Args:
        formulation: see above.
        scales: which models. The global one needs sides that are multiples of 64.
        backbone: the global encoder. The local one's teacher is a setting of its asset,
            ``igd-encoder.backbone``.
        encoder: the local encoder's body: ``distilled`` on natural images (``bench pretrain
            igd-encoder``), ``distilled_on_train`` on the training images as eq. 10 says, for at
            most ``steps``, ``learned`` with the decoder from scratch, or ``random``: frozen as
            initialised, to try things out.
        descriptor: ``gsvdd``, ``soft_boundary`` Deep SVDD, or ``none`` (Table 5).
        interpolate: whether there are interpolation and critic (Table 5).
        epochs: None is 256, or 128 for images up to 32 × 32.
        steps: per scale, ends the training earlier than the epochs do.
        batch: images (global) or patches (local) per step.
        patches: per image, drawn once, that the local model is trained on; None is all.
        flips: random mirroring in training, which only the code has; None is yes, but not for
            images up to 32 × 32, where a mirrored digit may be another one.
        learning_rate: of Adam, at the start.
        e_steps: E-steps, evenly spread, the first before training. The code's come every 10 epochs.
        kappa, floor: of the estimate of σ².
        beta: share of the global model in eq. 8 and 12.
        xi: share of the reconstruction in eq. 11.
    """

    version = "3"
    title = "IGD"
    citation = "Chen et al. 2021"
    paper = Geometry(resize=256, crop=256)
    smoke = {
        "backbone": "squeezenet1_1",
        "encoder": "random",
        "epochs": 2,
        "batch": 8,
        "patches": 1,
        "learning_rate": 1e-3,
    }
    presets = {
        "igd_msssim": {"encoder": "learned", "descriptor": "none", "interpolate": False},
        "igd_kd": {"descriptor": "none", "interpolate": False},
        "igd_kd_dsvdd": {"descriptor": "soft_boundary", "interpolate": False},
        "igd_kd_gsvdd": {"interpolate": False},
    }

    def __init__(
        self,
        *,
        formulation: Literal["equations", "public_code"] = "equations",
        scales: tuple[Scale, ...] = ("global", "local"),
        backbone: str = "resnet18",
        encoder: Literal["distilled", "distilled_on_train", "learned", "random"] = "distilled",
        descriptor: Literal["gsvdd", "soft_boundary", "none"] = "gsvdd",
        interpolate: bool = True,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int = 64,
        patches: int | None = None,
        flips: bool | None = None,
        learning_rate: float = 1e-4,
        e_steps: int = 25,
        kappa: float = 0.5,
        floor: float = 1.0,
        beta: float = 0.1,
        xi: float = 0.5,
    ) -> None:
        self.formulation = formulation
        self.scales = scales
        self.backbone = backbone
        self.encoder = encoder
        self.descriptor = descriptor
        self.interpolate = interpolate
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.patches = patches
        self.flips = flips
        self.learning_rate = learning_rate
        self.e_steps = e_steps
        self.kappa = kappa
        self.floor = floor
        self.beta = beta
        self.xi = xi
        self._check()

    @property
    def published(self) -> bool:
        return self.formulation == "public_code"

    def needs(self) -> Sequence[FeatureSpec]:
        return [self._spec()] if "global" in self.scales else []

    def assets(self) -> Sequence[type[IgdEncoder]]:
        return [IgdEncoder] if self.encoder == "distilled" and "local" in self.scales else []

    def fit(self, train: Images, context: Context) -> Self:
        size = train.batch([0]).size
        stages = Stages(context.checkpoint)
        self.inputs_: dict[str, dict[str, Any]] = {}
        self.facts_: dict[str, Any] = {"images": len(train)}
        body = None
        for name in scales_for(self.scales, size):
            sides = [SIDE, SIDE] if name == "local" else list(size)
            if name == "local":
                body, width = self._distilled(train, context, stages)
            else:
                width = context.features(next(iter(train)), self._spec())[0].shape[1]
            self.inputs_[name] = {"sides": sides, "width": width}
        with seeded(context, "models"):
            self.build()
        if body is not None:
            cast(nn.Module, self._model("local").body).load_state_dict(body)
        for name in self.inputs_:
            self.facts_[name] = self._train(name, train, context, stages)
        return self

    def build(self) -> None:
        self.models_ = nn.ModuleDict(
            {
                name: ScaleModel(
                    name,
                    tuple(given["sides"]),
                    given["width"],
                    descriptor(self.descriptor, self.published, self.kappa, self.floor),
                    published=self.published,
                    learned=self.encoder == "learned" and name == "local",
                )
                for name, given in self.inputs_.items()
            }
        )

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.models_.to(context.device).eval()
        scales, count = list(self.inputs_), batch.pixels.shape[0]
        weights = image_weights(scales, published=self.published, xi=self.xi, beta=self.beta)
        pixels = padded(batch.pixels).to(context.device)
        size = (pixels.shape[2], pixels.shape[3])
        parts: dict[str, Tensor] = {}
        maps: dict[str, Tensor] = {}
        for name in scales:
            features = context.features(batch, self._spec())[0] if name == "global" else None
            found = judged(self._model(name), pixels, features, context)
            parts |= parts_of_images(name, found, count, weights, published=self.published)
            if found.maps is not None:
                maps[name] = fold(found.maps, count, size, STRIDE, average=not self.published)
        if not maps:
            return Prediction(weighted_sum(parts, weights), parts=parts)
        blended = weighted_sum(maps, map_weights(scales, published=self.published, beta=self.beta))
        top, left = ((size[i] - batch.size[i]) // 2 for i in range(2))
        shown = blended[:, top : top + batch.size[0], left : left + batch.size[1]]
        return Prediction(weighted_sum(parts, weights), shown, parts)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _distilled(
        self, train: Images, context: Context, stages: Stages
    ) -> tuple[dict[str, Tensor] | None, int]:
        """Get the local encoder's weights by equation 10 (None: as initialised), and its width."""
        if self.encoder == "distilled":
            asset = context.asset(IgdEncoder)
            return dict(asset.state.tensors), int(asset.state.values["width"])
        if self.encoder != "distilled_on_train":
            return None, CHANNELS
        done = stages.finished("encoder")
        if done is None:
            part = replace(context, checkpoint=stages.part("encoder"))
            encoder = IgdEncoder(backbone=self.backbone)
            encoder.steps = min(encoder.steps, self.steps or encoder.steps)
            network, facts = encoder.distil(train, part, only_patches=True)
            done = {"body": network.state_dict(), "width": network.width, "facts": facts}
            stages.finish("encoder", done)
        self.facts_["distillation"] = done["facts"]
        return done["body"], done["width"]

    def _train(self, name: str, train: Images, context: Context, stages: Stages) -> dict[str, Any]:
        """Train one scale, or take it from the checkpoint; what was run."""
        model = self._model(name).to(context.device)
        done = stages.finished(name)
        if done is None:
            small = max(train.batch([0]).size) <= SIDE
            flips = not small if self.flips is None else self.flips
            local = name == "local"
            patches, stride = (self.patches, STRIDE) if local else (None, 1)
            views = Views(train, model.sides, stride, patches, flips, context)
            if not local:
                views.keep_given(pooled_features(train, self._spec(), flips, context))
            elif not model.learned and views.fits(self.inputs_[name]["width"]):
                views.keep(cast(nn.Module, model.body).eval(), self.inputs_[name]["width"])
            part = replace(context, checkpoint=stages.part(name))
            facts = ScaleTraining(model, views, self._schedule(name, small), part).run()
            done = {"model": model.state_dict(), "facts": facts}
            stages.finish(name, done)
        model.load_state_dict(done["model"])
        return cast(dict[str, Any], done["facts"])

    def _schedule(self, name: str, small: bool) -> Schedule:
        images = self.published and not small
        return Schedule(
            epochs=self.epochs or (SMALL_EPOCHS if small else EPOCHS),
            steps=self.steps,
            batch=PUBLISHED_BATCH[name] if images else self.batch,
            whole_images=images and name == "local",
            learning_rate=self.learning_rate,
            e_steps=self.e_steps,
            interpolate=self.interpolate,
        )

    def _model(self, name: str) -> ScaleModel:
        return cast(ScaleModel, self.models_[name])

    def _spec(self) -> FeatureSpec:
        return FeatureSpec(self.backbone, (POOLED,), flips=self.flips is not False)

    def _check(self) -> None:
        positive = ("epochs", "steps", "patches", "e_steps", "learning_rate", "floor")
        shares = ("kappa", "beta", "xi")
        given = {name: value for name, value in self.settings().items() if value is not None}
        wrong = [f"{name} is {given[name]}" for name in positive if given.get(name, 1) <= 0]
        wrong += [f"{name} is {given[name]}" for name in shares if not 0 <= given[name] <= 1]
        wrong += [f"batch is {self.batch}"] if self.batch < 2 else []
        if not 0 < len(set(self.scales)) == len(self.scales):
            wrong.append(f"scales is {list(self.scales)}")
        if wrong:
            raise SettingsError(
                f"igd: {', '.join(wrong)}; allowed are {', '.join(positive)} above 0, "
                f"{', '.join(shares)} from 0 to 1, batch from 2, scales global, local, once each"
            )
