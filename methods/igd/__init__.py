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
from benchmark.errors import DetectorError, SettingsError

from .._distillation import ImageNetInput
from .._msssim import GLOBAL_WEIGHTS, LOCAL_WEIGHTS, PIXEL_RANGE, MsSsim, scales_that_fit
from .encoder import SIDE, IgdEncoder, padded
from .model import Plan, ScaleModel, ScaleTraining
from .networks import GLOBAL_STEP
from .scoring import Evidence, by_equations, by_public_code, fold
from .views import CHUNK, Views, cut

Scale = Literal["global", "local"]
STRIDE = 16
"""Between local patches."""
EPOCHS, SMALL_EPOCHS = 256, 128


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
    eq. 8; a pixel's similarity in eq. 12 is the product of eq. 9 at that pixel. Local batches are
    drawn over the patches of all images.

    ``formulation="public_code"`` is what https://github.com/tianyu0207/IGD runs. It differs in (the
    switch is ``formulation`` alone; the settings κ, ξ, β and ``batch`` then have no effect):

    - GSVDD: κ = 1; the bound of 1 on σ² holds per batch, before averaging; coordinates of μ are
      pushed to ±0.1; σ² is estimated around the μ of before; E-steps flip images;
    - batch normalisation has the initial statistics throughout;
    - the local critic ends with a sigmoid; the global one's loss compares every guess with every
      share of interpolation, (B,) minus (B, 1);
    - Adam has betas 0 and 0.9, and the critic no weight decay;
    - local batches are all patches of 2 images, so that reversal pairs patch k of one with patch
      224 - k of the other; global ones 16 images;
    - local scores lack the absolute value in the error; the score of an image is the maximum over
      its patches; reconstruction and description count .9 and .1 locally, .1 and .9 globally, the
      scales half each (a single scale: half and half);
    - maps add weighted 1 - SSIM of each scale, luminance included, are summed where patches
      overlap, not averaged, weighted by luma, and have no description.

    In neither: the official scripts log the best epoch on test images; here the last one counts.
    The global encoder is the pre-trained network itself, as in the code; the paper distils that,
    too. The code's iteration counts and drop-last rules are kept to within one batch per epoch.

    Args:
        formulation: see above.
        scales: which models. The global one needs sides that are multiples of 64.
        backbone: the global encoder. The local one's teacher is a setting of its asset,
            ``igd-encoder.backbone``.
        encoder: the local encoder's body: ``distilled`` on natural images (``bench pretrain
            igd-encoder``), ``distilled_on_train`` on the training images as eq. 10 says, for as
            long as that and ``steps`` allow,
            ``learned`` with the decoder from scratch (no distillation), or ``random``: frozen as
            initialised, to try things out.
        descriptor: ``gsvdd``, ``soft_boundary`` Deep SVDD, or ``none`` (Table 5).
        interpolate: whether there are interpolation and critic (Table 5).
        latent: length of a code.
        epochs: None is 256, or 128 for images up to 32 × 32.
        steps: per scale, ends the training earlier than the epochs do.
        batch: images (global) or patches (local) per step.
        patches: per image, drawn once, that the local model is trained on; None is all.
        flips: random mirroring in training, which only the code has; None is yes, but not for
            images up to 32 × 32, where a mirrored digit may be another one.
        learning_rate, decay, weight_decay: of Adam; the rate falls as (1 - t)^decay.
        e_step_epochs: epochs between E-steps; the paper does not say.
        alpha: largest share of interpolation.
        zeta: share of the image in eq. 5's blend (γ in section 4.2).
        kappa, floor: of the estimate of σ².
        adversarial: weight λ of eq. 6.
        rho: weight of the absolute error in eq. 8.
        beta: share of the global model in eq. 8 and 12.
        xi: share of the reconstruction in eq. 11.
        pooling: of the patches' scores: ``mean`` as in eq. 8 and 11, or ``max``.
        nu: of the soft boundary.
        global_weights, local_weights, global_window, local_window, pixel_range, ssim_constants:
            of MS-SSIM. Scales whose window does not fit into the image are left out.
    """

    title = "IGD"
    citation = "Chen et al. 2021"
    paper = Geometry(resize=256, crop=256)
    smoke = {
        "backbone": "squeezenet1_1",
        "encoder": "random",
        "epochs": 1,
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
        latent: int = 128,
        epochs: int | None = None,
        steps: int | None = None,
        batch: int = 64,
        patches: int | None = None,
        flips: bool | None = None,
        learning_rate: float = 1e-4,
        decay: float = 0.9,
        weight_decay: float = 1e-6,
        e_step_epochs: int = 10,
        alpha: float = 0.5,
        zeta: float = 0.2,
        kappa: float = 0.5,
        floor: float = 1.0,
        adversarial: float = 0.1,
        rho: float = 0.15,
        beta: float = 0.1,
        xi: float = 0.5,
        pooling: Literal["mean", "max"] = "mean",
        nu: float = 0.1,
        global_weights: tuple[float, ...] = GLOBAL_WEIGHTS,
        local_weights: tuple[float, ...] = LOCAL_WEIGHTS,
        global_window: int = 11,
        local_window: int = 3,
        pixel_range: float = PIXEL_RANGE,
        ssim_constants: tuple[float, float] = (0.01, 0.03),
    ) -> None:
        self.formulation = formulation
        self.scales = scales
        self.backbone = backbone
        self.encoder = encoder
        self.descriptor = descriptor
        self.interpolate = interpolate
        self.latent = latent
        self.epochs = epochs
        self.steps = steps
        self.batch = batch
        self.patches = patches
        self.flips = flips
        self.learning_rate = learning_rate
        self.decay = decay
        self.weight_decay = weight_decay
        self.e_step_epochs = e_step_epochs
        self.alpha = alpha
        self.zeta = zeta
        self.kappa = kappa
        self.floor = floor
        self.adversarial = adversarial
        self.rho = rho
        self.beta = beta
        self.xi = xi
        self.pooling = pooling
        self.nu = nu
        self.global_weights = global_weights
        self.local_weights = local_weights
        self.global_window = global_window
        self.local_window = local_window
        self.pixel_range = pixel_range
        self.ssim_constants = ssim_constants
        self._check()

    def _check(self) -> None:
        if not self.scales or len(set(self.scales)) < len(self.scales):
            raise SettingsError(
                f"igd: scales is {list(self.scales)}; allowed are global, local or both, once each"
            )
        counts = {
            "latent": self.latent,
            "epochs": self.epochs,
            "steps": self.steps,
            "patches": self.patches,
            "e_step_epochs": self.e_step_epochs,
            "global_window": self.global_window,
            "local_window": self.local_window,
            "learning_rate": self.learning_rate,
            "floor": self.floor,
            "pixel_range": self.pixel_range,
        }
        wrong = {k: v for k, v in counts.items() if v is not None and v <= 0}
        shares = {n: getattr(self, n) for n in ("alpha", "zeta", "kappa", "rho", "beta", "xi")}
        wrong |= {k: v for k, v in shares.items() if not 0 <= v <= 1}
        if wrong or self.batch < 2 or not 0 < self.nu <= 1:
            found = wrong or {"batch": self.batch, "nu": self.nu}
            raise SettingsError(
                f"igd: {', '.join(f'{k} is {v}' for k, v in found.items())}; allowed are "
                f"{', '.join(counts)} above 0, {', '.join(shares)} from 0 to 1, nu above 0 and up "
                "to 1, and batch from 2"
            )

    def needs(self) -> Sequence[FeatureSpec]:
        if "global" not in self.scales:
            return []
        return [FeatureSpec(self.backbone, (POOLED,), flips=self.flips is not False)]

    def assets(self) -> Sequence[type[IgdEncoder]]:
        return [IgdEncoder] if self.encoder == "distilled" and "local" in self.scales else []

    def build(self) -> None:
        self.models_ = nn.ModuleDict(
            {
                name: ScaleModel(
                    name,
                    (part["sides"][0], part["sides"][1]),
                    part["width"],
                    self._plan(),
                    self._similarity(name, min(part["sides"])),
                    body=name == "local",
                )
                for name, part in self.parts_.items()
            }
        )

    def fit(self, train: Images, context: Context) -> Self:
        size = train.batch([0]).size
        names = self._scales_for(size)
        stages = Stages(context.checkpoint)
        body: dict[str, Tensor] | None = None
        facts: dict[str, Any] = {}
        if "local" in names:
            body, width, facts = self._body(train, context, stages)
        self.parts_: dict[str, dict[str, Any]] = {}
        for name in names:
            if name == "local":
                self.parts_[name] = {"sides": [SIDE, SIDE], "width": width}
            else:
                pooled = context.features(next(iter(train)), self._spec())[0]
                self.parts_[name] = {"sides": list(size), "width": pooled.shape[1]}
        with seeded(context, "models"):
            self.build()
        if body is not None:
            cast(nn.Module, self._model("local").body).load_state_dict(body)
        for name in names:
            facts |= self._train(name, train, context, stages)
        self.facts_ = {"images": len(train), **facts}
        return self

    @torch.no_grad()
    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self.models_.to(context.device).eval()
        found = {name: self._evidence(name, batch, context) for name in self.parts_}
        shares = dict.fromkeys(found, 1.0)
        if len(found) == 2:
            share = 0.5 if self.formulation == "public_code" else self.beta
            shares = {"global": share, "local": 1 - share}
        scores = torch.stack([shares[name] * part.scores for name, part in found.items()]).sum(0)
        maps = torch.stack([shares[name] * part.maps for name, part in found.items()]).sum(0)
        return Prediction(scores, maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _plan(self, *, small: bool = False) -> Plan:
        given = {name: getattr(self, name) for name in Plan.__annotations__ if hasattr(self, name)}
        epochs = self.epochs or (SMALL_EPOCHS if small else EPOCHS)
        return Plan(**{**given, "learned": self.encoder == "learned", "epochs": epochs})

    def _similarity(self, name: str, side: int) -> MsSsim:
        weights = self.global_weights if name == "global" else self.local_weights
        window = self.global_window if name == "global" else self.local_window
        fit = scales_that_fit(weights, window, side)
        return MsSsim(fit, window, self.pixel_range, self.ssim_constants)

    def _model(self, name: str) -> ScaleModel:
        return cast(ScaleModel, self.models_[name])

    def _spec(self) -> FeatureSpec:
        return FeatureSpec(self.backbone, (POOLED,), flips=True)

    def _scales_for(self, size: tuple[int, int]) -> list[str]:
        """The models that images of this size have."""
        if max(size) <= SIDE:
            return ["local"]
        step = GLOBAL_STEP if "global" in self.scales else STRIDE
        if any(side % step or side < SIDE for side in size):
            hint = (
                f"{step} (or leave the global model out: --set 'igd.scales=[local]', multiples of "
                f"{STRIDE})"
                if step == GLOBAL_STEP
                else f"{step}"
            )
            raise DetectorError(
                f"igd: images are {size[0]} × {size[1]}; the sides must be multiples of {hint}; "
                "pass --image-size 256"
            )
        return list(self.scales)

    def _body(
        self, train: Images, context: Context, stages: Stages
    ) -> tuple[dict[str, Tensor] | None, int, dict[str, Any]]:
        """The local encoder's weights (None: as initialised), the width of its output, and facts."""
        if self.encoder == "distilled":
            asset = context.asset(IgdEncoder)
            return dict(asset.state.tensors), int(asset.state.values["width"]), {}
        if self.encoder == "distilled_on_train":
            done = stages.finished("encoder")
            if done is None:
                part = replace(context, checkpoint=stages.part("encoder"))
                encoder = IgdEncoder(backbone=self.backbone)
                encoder.steps = min(encoder.steps, self.steps or encoder.steps)
                network, facts = encoder.distil(train, part, only_patches=True)
                done = {"body": network.state_dict(), "width": network.width, "facts": facts}
                stages.finish("encoder", done)
            return done["body"], done["width"], {"distillation": done["facts"]}
        return None, 512, {}

    def _train(self, name: str, train: Images, context: Context, stages: Stages) -> dict[str, Any]:
        """Train one scale, or take it from the checkpoint; what was run."""
        model = self._model(name)
        done = stages.finished(name)
        if done is None:
            small = max(train.batch([0]).size) <= SIDE
            flips = not small if self.flips is None else self.flips
            plan = self._plan(small=small)
            stride = STRIDE if name == "local" else 1
            per_image = self.patches if name == "local" else None
            model.to(context.device)
            if not plan.learned:
                model.freeze_body()
            views = Views(train, model.sides, stride, per_image, flips, context)
            if name == "global":
                views.keep_given(self._pooled(train, flips, context))
            elif not plan.learned and views.fits(self.parts_[name]["width"]):
                model.eval()
                views.keep(cast(nn.Module, model.body), self.parts_[name]["width"])
            part = replace(context, checkpoint=stages.part(name))
            facts = ScaleTraining(model, views, plan, part).run()
            done = {"model": model.state_dict(), "facts": {name: facts}}
            stages.finish(name, done)
        model.load_state_dict(done["model"])
        return cast(dict[str, Any], done["facts"])

    def _pooled(self, train: Images, flips: bool, context: Context) -> list[Tensor]:
        """The frozen backbone's features of all images, then of all mirrored."""
        out = []
        for side in range(1 + flips):
            parts = [
                context.features(batch.flipped() if side else batch, self._spec())[0]
                for batch in train
            ]
            out.append(torch.cat(parts))
        return out

    def _evidence(self, name: str, batch: Batch, context: Context) -> Evidence:
        """A scale's scores (B,) and maps (B, H, W) of a batch."""
        model = self._model(name)
        pixels = padded(batch.pixels).to(context.device)
        size = (pixels.shape[2], pixels.shape[3])
        x = ImageNetInput().to(context.device)(pixels)
        windows = cut(x, model.sides, STRIDE).permute(0, 2, 3, 1, 4, 5)
        count = windows.shape[1] * windows.shape[2]
        flat = windows.reshape(-1, 3, *model.sides)
        features = None
        if name == "global":
            features = context.features(batch, self._spec())[0]
        # chunks of whole images, so that an image's result does not depend on its batch-mates
        step = max(1, CHUNK // count) * count
        parts = [
            self._judge(model, flat[i : i + step], features, i, context)
            for i in range(0, len(flat), step)
        ]
        scores = torch.cat([part.scores for part in parts]).view(len(batch), count)
        published = self.formulation == "public_code"
        pooled = scores.amax(1) if published or self.pooling == "max" else scores.mean(1)
        maps = torch.cat([part.maps for part in parts])
        maps = fold(maps, len(batch), size, STRIDE, average=not published)
        top, left = ((size[i] - batch.size[i]) // 2 for i in range(2))
        return Evidence(pooled, maps[:, top : top + batch.size[0], left : left + batch.size[1]])

    def _judge(
        self, model: ScaleModel, x: Tensor, features: Tensor | None, start: int, context: Context
    ) -> Evidence:
        x = x.contiguous(memory_format=torch.channels_last)
        with context.autocast():
            if features is None:
                found = cast(nn.Module, model.body)(x)
            else:
                found = features[start : start + len(x)]
        codes = model.code(found.float())
        with context.autocast():
            rebuilt = model.decoder(codes)
        if self.formulation == "public_code":
            return by_public_code(model, x, rebuilt, codes, alone=len(self.parts_) == 1)
        return by_equations(model, x, rebuilt, codes, self.xi)
