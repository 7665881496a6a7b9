"""DSR: dual subspace re-projection (Zavrtanik, Kristan and Skočaj, ECCV 2022)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, NamedTuple, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmark import (
    Batch,
    Context,
    Detector,
    Geometry,
    Images,
    Prediction,
    Stages,
    Training,
    seeded,
    upsample,
)
from benchmark.detector.state import LoadedAsset
from benchmark.errors import SettingsError

from .._parts.anomaly_masks import focal_loss, perlin_masks, rotated, smudged
from .._parts.sides import fitting
from .code_anomalies import neighbour_table, on_grid, replaced
from .networks import DEPTH, DsrNetworks, MaskNet
from .vqvae import STRIDE_HI, STRIDE_LO, WIDTH, Quantised, VqVae
from .vqvae_asset import GeneralVqVae
from .vqvae_colours import set_to_colours

STEP = STRIDE_LO * DEPTH
LEAST = 2 * STEP
"""Sides must be multiples of the former, and at least the latter for instance normalisation."""
POOL = 21
"""Side of the window that a score averages over."""
WEAKEST = 0.2
"""Replacing codes reach over a share of the codebook uniform from this to 1."""
LATE, LATE_RATE = 0.8, 0.1
"""The first training goes on at a tenth of its learning rate after this share of its steps."""


class Seen(NamedTuple):
    """A batch through the networks: category's and general image, logits of the first mask."""

    specific: Tensor
    general: Tensor
    logits: Tensor


class Dsr(Detector):
    """DSR: images are disturbed in a quantised feature space, restored, and compared.

    Paper: Zavrtanik, Kristan and Skočaj, "DSR - A Dual Subspace Re-Projection Network for Surface
    Anomaly Detection", ECCV 2022, arXiv 2208.01521. A general VQ-VAE, frozen, turns an image into
    codes of two levels. Two subspace restriction modules learn to restore codes that were replaced
    under Perlin masks, an object-specific decoder to draw the restored codes, and a detection
    module to mark where that image differs from the general decoder's. Then an upsampling module
    learns to refine the mask, on images with flat smudges. The map is the refined mask; the score is
    the largest 21 × 21 mean of the unrefined one, over the whole image.

    The VQ-VAE is an asset (``bench pretrain vqvae``): the official weights
    (``vqvae.official=true``), or trained here, which without ImageNet is not the published method;
    facts say which. Protocol ``paper`` measures pixels
    in the central 224 of 256.

    Readings where paper and official code differ or leave a choice: pixels are RGB (the official
    weights' BGR is changed on loading). An epoch goes through ``samples`` places of which every
    image has its equal share, where the official code draws images with replacement. The learning
    rate of the upsampling stays constant, as in the official code, whose milestones lie beyond its
    last epoch. Images whose sides are no multiples of 32, or below 64, are resized to such, and
    maps back. Ground truth is resized by nearest neighbour, officially bilinear and cut to 1.

    Args:
        vqvae: the ``asset``, or ``colours``: made by hand, its codes are patches' mean colours, for
            trying things out.
        codes: per level of the VQ-VAE made by hand; an asset brings its own.
        width: channels of the finest stage of the masks' networks, published as 64; the category's
            other networks scale with it, and the ``colours`` VQ-VAE.
        epochs, samples: of the first training; an epoch is that many samples.
        batch, learning_rate: of Adam, in both trainings.
        upsampling_epochs: of the second training.
        steps: ends the first training earlier than its epochs do, and the second in proportion.
        neighbours: ``table`` ranks the codes that replace a feature's by their distance to its
            nearest code, an approximation; ``exact`` by their distance to the feature, as
            published, and far slower.
    """

    title = "DSR"
    citation = "Zavrtanik et al. 2022"
    paper = Geometry(resize=(256, 256), antialias=False, eval_crop=224)
    smoke = {
        "vqvae": "colours",
        "codes": 128,
        "width": 8,
        "steps": 240,
        "batch": 4,
        "learning_rate": 5e-3,
    }

    def __init__(
        self,
        *,
        vqvae: Literal["asset", "colours"] = "asset",
        codes: int = 4096,
        width: int = 64,
        epochs: int = 100,
        samples: int = 8000,
        batch: int = 8,
        learning_rate: float = 2e-4,
        upsampling_epochs: int = 50,
        steps: int | None = None,
        neighbours: Literal["table", "exact"] = "table",
    ) -> None:
        self.vqvae = vqvae
        self.codes = codes
        self.width = width
        self.epochs = epochs
        self.samples = samples
        self.batch = batch
        self.learning_rate = learning_rate
        self.upsampling_epochs = upsampling_epochs
        self.steps = steps
        self.neighbours = neighbours
        numbers = (width, epochs, samples, batch, upsampling_epochs, 1 if steps is None else steps)
        if min(numbers) < 1 or learning_rate <= 0:
            raise SettingsError(
                f"dsr: width is {width}, epochs {epochs}, samples {samples}, batch {batch}, "
                f"upsampling_epochs {upsampling_epochs}, steps {steps}, learning_rate "
                f"{learning_rate}: all must be positive"
            )
        if not 2 <= codes <= torch.iinfo(torch.int16).max:
            raise SettingsError(f"dsr: codes is {codes}; allowed is from 2 to 32767")

    def assets(self) -> Sequence[type[GeneralVqVae]]:
        return [GeneralVqVae] if self.vqvae == "asset" else []

    def build(self) -> None:
        channels = 2 * max(self.width, 4) if self.vqvae == "colours" else WIDTH
        codes = getattr(self, "codes_", self.codes)  # an asset's number is known since fit
        self.general_ = VqVae(codes, channels).eval().requires_grad_(False)
        self.networks_ = DsrNetworks(self.width, channels)
        self.upsampler_ = MaskNet(8, self.width)

    def fit(self, train: Images, context: Context) -> Self:
        asset = context.asset(GeneralVqVae) if self.vqvae == "asset" else None
        self.codes_ = int(asset.settings["codes"]) if asset else self.codes
        with seeded(context, "networks"):
            self.build()
        self._place(context)
        origin = self._fill_general(asset, train, context)
        stages = Stages(context.checkpoint)
        restored = stages.finished("restoration")
        if restored is None:
            restored = self._restore(train, _stage(stages, "restoration", context))
            stages.finish("restoration", restored)
        self.networks_.load_state_dict(restored["networks"])
        self.networks_.requires_grad_(False)
        context.meters.curves |= restored["curves"]
        self.facts_ = {
            "vqvae": origin,
            "neighbours": self.neighbours,
            "restoration": restored["facts"],
            "upsampling": self._upsample(train, _stage(stages, "upsampling", context)),
        }
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self._place(context)
        with torch.no_grad():
            pixels = fitting(batch.pixels.to(context.device), STEP, LEAST)
            with context.autocast():
                coded = self.general_.quantise(pixels)
                seen = self._through(coded.q_lo, coded.q_hi)
            coarse = seen.logits.float().softmax(1)[:, 1:]
            scores = F.avg_pool2d(coarse, POOL, stride=1, padding=POOL // 2).flatten(1).amax(1)
            if not context.wants_maps:
                return Prediction(scores)
            with context.autocast():
                refined = self._refined(seen)
            maps = refined.float().softmax(1)[:, 1]
            if maps.shape[1:] != batch.size:
                maps = upsample(maps, batch.size)
        return Prediction(scores, maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _place(self, context: Context) -> None:
        for module in (self.general_, self.networks_, self.upsampler_):
            module.to(context.device)

    def _fill_general(
        self, asset: LoadedAsset | None, train: Images, context: Context
    ) -> dict[str, Any]:
        """Fill the frozen VQ-VAE; says which one it is."""
        if asset is not None:
            self.general_.load_state_dict(asset.state.tensors)
            return {"sha256": asset.sha256, **asset.state.values}
        generator = context.generator("colours")
        picks = torch.randint(len(train), (8,), generator=generator).tolist()
        pixels = fitting(train.batch(picks).pixels.to(context.device), STEP, LEAST)
        set_to_colours(self.general_, pixels, generator)
        return {"origin": "colours"}

    def _restore(self, train: Images, context: Context) -> dict[str, Any]:
        """Train everything but the upsampling. Returns what the cell's checkpoint keeps of it."""
        training = self._training(
            "restoration", self.networks_, self.epochs, self.steps, train, context
        )
        tables: dict[str, Tensor | None] = {"lo": None, "hi": None}
        if self.neighbours == "table":
            tables["lo"] = neighbour_table(self.general_.quantiser_lo.codes)
            tables["hi"] = neighbour_table(self.general_.quantiser_hi.codes)
        for indices in training:
            rate = self.learning_rate * (
                LATE_RATE if training.done >= int(LATE * training.steps) else 1
            )
            for group in training.optimiser.param_groups:
                group["lr"] = rate
            generator = context.generator(f"restoration {training.done}")
            pixels = self._samples(train, indices, 0.4, generator, context)
            masks = perlin_masks(len(pixels), _size(pixels), generator, device=context.device)
            with context.autocast():
                loss = self._restoration_loss(pixels, masks, tables, generator)
            training.learn(loss)
        return {
            "networks": self.networks_.state_dict(),
            "facts": training.facts(),
            "curves": context.meters.curves,
        }

    def _restoration_loss(
        self,
        pixels: Tensor,
        masks: Tensor,
        tables: dict[str, Tensor | None],
        generator: torch.Generator,
    ) -> Tensor:
        with torch.no_grad():
            coded = self.general_.quantise(pixels)
            q_lo, q_hi, wanted = self._disturbed(coded, masks, tables, generator)
            general = self.general_.decode(q_lo, q_hi)
        restored_lo, restored_hi = self.networks_.lo(q_lo), self.networks_.hi(q_hi)
        specific = self._drawn(restored_lo, restored_hi)
        logits = self.networks_.detector(torch.cat([specific.detach(), general], 1))
        return (
            F.mse_loss(restored_lo.float(), coded.q_lo)
            + F.mse_loss(restored_hi.float(), coded.q_hi)
            + 10 * F.mse_loss(specific.float(), pixels)
            + focal_loss(logits, wanted)
        )

    def _disturbed(
        self,
        coded: Quantised,
        masks: Tensor,
        tables: dict[str, Tensor | None],
        generator: torch.Generator,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Replace codes under the masks: at both levels in half of the images, else at one.

        Returns:
            both levels' codes, and the mask at full size as coarse as the replacement was.
        """
        count = len(masks)
        strength = WEAKEST + (1 - WEAKEST) * torch.rand(2, count, generator=generator)
        flags = torch.rand(2, count, 1, 1, 1, generator=generator) < 0.5
        both, lower = flags.to(masks.device, non_blocking=True)
        at_lo, at_hi = on_grid(masks, STRIDE_LO), on_grid(masks, STRIDE_HI)
        general, quantiser = self.general_, self.general_.quantiser_hi
        other = replaced(
            coded.lo, coded.at_lo, general.quantiser_lo, strength[0], generator, tables["lo"]
        )
        q_lo = torch.where((both | lower) & (at_lo > 0.5), other, coded.q_lo)
        # where the lower level was left alone these are the image's own features
        hi = general.features_hi(coded.fine, q_lo)
        nearest = quantiser.nearest(hi)
        other = replaced(hi, nearest, quantiser, strength[1], generator, tables["hi"])
        q_hi = torch.where(at_hi > 0.5, other, quantiser.look_up(nearest))
        q_hi = torch.where(lower & ~both, coded.q_hi, q_hi)
        coarse = F.interpolate(at_lo, scale_factor=STRIDE_LO)
        return (
            q_lo,
            q_hi,
            torch.where(both | lower, coarse, F.interpolate(at_hi, scale_factor=STRIDE_HI)),
        )

    def _upsample(self, train: Images, context: Context) -> dict[str, Any]:
        """Train the upsampling module; the other networks stay as they are. What was run."""
        steps = None
        if self.steps is not None:
            steps = max(round(self.steps * self.upsampling_epochs / self.epochs), 1)
        training = self._training(
            "upsampling", self.upsampler_, self.upsampling_epochs, steps, train, context
        )
        for indices in training:
            generator = context.generator(f"upsampling {training.done}")
            pixels = self._samples(train, indices, 0.3, generator, context)
            masks = perlin_masks(len(pixels), _size(pixels), generator, device=context.device)
            pixels = smudged(pixels, masks, generator)
            with context.autocast():
                with torch.no_grad():
                    coded = self.general_.quantise(pixels)
                    seen = self._through(coded.q_lo, coded.q_hi)
                loss = focal_loss(self._refined(seen), masks)
            training.learn(loss)
        return training.facts()

    def _training(
        self,
        title: str,
        module: nn.Module,
        epochs: int,
        steps: int | None,
        train: Images,
        context: Context,
    ) -> Training:
        """Make the loop of one of the two trainings."""
        return Training(
            context,
            module.train(),
            torch.optim.Adam(module.parameters(), self.learning_rate),
            title=title,
            images=max(self.samples, len(train)),
            batch=self.batch,
            epochs=epochs,
            steps=steps,
            remedy=f"lower the learning rate: --set dsr.learning_rate={self.learning_rate / 4:g}",
            curves=f"{title} ",
        )

    def _samples(
        self,
        train: Images,
        places: Sequence[int],
        share: float,
        generator: torch.Generator,
        context: Context,
    ) -> Tensor:
        """Load training images on the device, a share of them turned by up to 90 degrees."""
        batch = train.batch([place % len(train) for place in places])
        return rotated(
            fitting(batch.pixels.to(context.device), STEP, LEAST), 90.0, generator, share=share
        )

    def _drawn(self, restored_lo: Tensor, restored_hi: Tensor) -> Tensor:
        """Draw the category's image of restored features, which are quantised again."""
        q_lo = self.general_.quantiser_lo(restored_lo)
        q_hi = self.general_.quantiser_hi(restored_hi)
        image: Tensor = self.networks_.decoder(self.general_.joined(q_lo, q_hi))
        return image

    def _through(self, q_lo: Tensor, q_hi: Tensor) -> Seen:
        """Pass codes as found on to both images and the first mask."""
        general = self.general_.decode(q_lo, q_hi)
        specific = self._drawn(self.networks_.lo(q_lo), self.networks_.hi(q_hi))
        logits = self.networks_.detector(torch.cat([specific, general], 1))
        return Seen(specific, general, logits)

    def _refined(self, seen: Seen) -> Tensor:
        """Compute the logits of the refined mask."""
        coarse = seen.logits.float().softmax(1)
        inputs = torch.cat([seen.specific.float(), seen.general.float(), coarse], 1)
        logits: Tensor = self.upsampler_(inputs)
        return logits


def _stage(stages: Stages, name: str, context: Context) -> Context:
    """Return the context of one of several trainings: with its part of the cell's checkpoint."""
    return replace(context, checkpoint=stages.part(name))


def _size(pixels: Tensor) -> tuple[int, int]:
    return pixels.shape[2], pixels.shape[3]
