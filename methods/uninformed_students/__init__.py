"""Uninformed Students: student-teacher anomaly detection (Bergmann et al., CVPR 2020)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self, cast

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
    Training,
    seeded,
    split_off,
    upsample,
)
from benchmark.errors import SettingsError

from .._parts.distillation import ImageNetInput, Moments
from .networks import LAYERS, PatchNetwork, patch_networks
from .teacher import UsTeacher, teacher_weights


class UninformedStudents(Detector):
    """Uninformed Students: ensembles regress a patch teacher's descriptors on normal images.

    Paper: Bergmann et al., "Uninformed Students: Student-Teacher Anomaly Detection with
    Discriminative Latent Embeddings", CVPR 2020, arXiv 1911.02357, section 3. At every pixel, the
    squared distance of the students' mean to the teacher's descriptor and the students' variance
    are normalised by their mean and spread on normal images not trained on, and added; the map is
    the average over the receptive fields, the score its maximum. There is no official code.

    The teachers are an asset (``bench pretrain us-teacher``). Differences: images are mirrored at
    the border, which the paper leaves open. ``stride`` above 1 trains and scores every such pixel
    only and interpolates between; the descriptors stay the exact ones.

    ``uninformed_students_one_class`` is the paper's experiment on MNIST and CIFAR-10 (section 5.1):
    an image is a single patch of the receptive field of 33, for which it is resized, and gets one score
    and no map. The paper does not say how many of them make a batch.

    Args:
        fields: receptive fields p of the ensembles.
        students: per receptive field.
        teacher: ``distilled``, or ``random``: untrained networks, for trying things out.
        whole: whether an image, resized, is a single patch.
        stride: 1 describes every pixel as in the paper, 2, 4 or 8 fewer.
        epochs, batch, learning_rate, weight_decay: of Adam.
        steps: ends the training earlier than the epochs do.
        validation: fraction of the training images that calibrate error and variance.
    """

    title = "Uninformed Students"
    citation = "Bergmann et al. 2020"
    paper = Geometry(resize=(256, 256))
    smoke = {"teacher": "random", "fields": (33,), "students": 2, "stride": 4, "steps": 5}
    presets = {
        "uninformed_students_single": {"fields": (65,)},
        "uninformed_students_one_class": {"fields": (33,), "whole": True, "batch": 64},
    }

    def __init__(
        self,
        *,
        fields: tuple[int, ...] = (17, 33, 65),
        students: int = 3,
        teacher: Literal["distilled", "random"] = "distilled",
        whole: bool = False,
        stride: Literal[1, 2, 4, 8] = 1,
        epochs: int = 100,
        batch: int = 1,
        learning_rate: float = 1e-4,
        weight_decay: float = 1e-5,
        steps: int | None = None,
        validation: float = 0.1,
    ) -> None:
        self.fields = fields
        self.students = students
        self.teacher = teacher
        self.whole = whole
        self.stride = stride
        self.epochs = epochs
        self.batch = batch
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self.steps = steps
        self.validation = validation
        if not fields or not set(fields) <= LAYERS.keys():
            raise SettingsError(
                f"uninformed_students: fields is {fields}; allowed are {sorted(LAYERS)}"
            )
        if (
            min(students, epochs, batch, 1 if steps is None else steps) < 1
            or not 0 < validation < 1
        ):
            raise SettingsError(
                f"uninformed_students: students is {students}, epochs {epochs}, batch {batch}, "
                f"steps {steps}: all must be positive; validation is {validation}: allowed is "
                "between 0 and 1"
            )

    def assets(self) -> Sequence[type[UsTeacher]]:
        return [UsTeacher] if self.teacher == "distilled" else []

    def build(self) -> None:
        self.teachers_ = patch_networks(self.fields).eval().requires_grad_(False)
        self.students_ = nn.ModuleList(
            patch_networks([field] * self.students) for field in self.fields
        )

    def fit(self, train: Images, context: Context) -> Self:
        with seeded(context, "networks"):
            self.build()
        if self.teacher == "distilled":
            weights = teacher_weights(context, self.fields)
            for network, tensors in zip(self.teachers_, weights, strict=True):
                network.load_state_dict(tensors)
        self._place(context)
        taught, held = split_off(context, len(train), self.validation)
        self._scale(train, taught, context)
        training = Training(
            context,
            self.students_,
            torch.optim.Adam(
                self.students_.parameters(), self.learning_rate, weight_decay=self.weight_decay
            ),
            title="students",
            images=len(taught),
            batch=self.batch,
            epochs=self.epochs,
            steps=self.steps,
            remedy="lower the learning rate: --set uninformed_students.learning_rate=1e-5",
        )
        for indices in training:
            batch = train.batch([taught[i] for i in indices])
            gaps = [
                (students - teacher).square().sum(2).mean()
                for teacher, students in self._descriptors(batch, context)
            ]
            training.learn(torch.stack(gaps).sum() * self.students)
        self._calibrate(train, held, context)
        self.facts_ = {
            "teacher": self.teacher,
            "trained_on": len(taught),
            "held_out": len(held),
            **training.facts(),
        }
        return self

    def predict(self, batch: Batch, context: Context) -> Prediction:
        self.check_fitted()
        self._place(context)
        with torch.no_grad():
            parts = [
                ((values - spread[0].to(values)) / spread[1].to(values)).sum(1)
                for values, spread in zip(self._evidence(batch, context), self.spread_, strict=True)
            ]
            found = torch.stack(parts).mean(0)
        if self.whole:
            return Prediction(found.flatten())
        maps = upsample(found, batch.size)
        return Prediction(maps.flatten(1).amax(1), maps)

    def facts(self) -> dict[str, Any]:
        return self.facts_

    def _place(self, context: Context) -> None:
        self.teachers_.to(context.device)
        self.students_.to(context.device)
        self._input = ImageNetInput().to(context.device)

    def _teachers(self, batch: Batch, context: Context) -> Iterator[Tensor]:
        """Yield descriptors per receptive field, (B, 128, h, w), as the teachers give them."""
        images = self._input(batch.pixels)
        for network in self.teachers_:
            with torch.no_grad(), context.autocast():
                out = self._described(network, images)
            yield out.float()

    def _described(self, network: nn.Module, images: Tensor) -> Tensor:
        """Describe every pixel of normalised images (B, 3, H, W), or each as a single patch: (B, 128,
        h, w)."""
        patches = cast(PatchNetwork, network)
        if not self.whole:
            return patches.dense(images, self.stride)
        size = (patches.field, patches.field)
        images = F.interpolate(images, size, mode="bilinear", align_corners=False, antialias=True)
        out: Tensor = patches(images)
        return out[:, :, None, None]

    def _descriptors(self, batch: Batch, context: Context) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield per receptive field the teacher's normalised descriptors (B, 1, 128, h, w) and the
        students' (B, M, 128, h, w)."""
        images = self._input(batch.pixels)
        raw = self._teachers(batch, context)
        for teacher, (mean, std), networks in zip(raw, self.scale_, self.students_, strict=True):
            with context.autocast():
                out = [
                    self._described(network, images) for network in cast(nn.ModuleList, networks)
                ]
            shape = (1, -1, 1, 1)
            mean, std = (x.to(teacher, non_blocking=True).view(shape) for x in (mean, std))
            teacher = (teacher - mean) / std
            yield teacher[:, None], torch.stack(out, 1).float()

    def _evidence(self, batch: Batch, context: Context) -> Iterator[Tensor]:
        """Yield per receptive field regression error and predictive variance, (B, 2, h, w)."""
        for teacher, students in self._descriptors(batch, context):
            mean = students.mean(1, keepdim=True)
            error = (mean - teacher).square().sum(2)[:, 0]
            variance = (students - mean).square().sum(2).mean(1)
            yield torch.stack([error, variance], 1)

    def _scale(self, train: Images, taught: Sequence[int], context: Context) -> None:
        """Measure mean and standard deviation of each teacher dimension over all training
        pixels."""
        moments = [Moments() for _ in self.fields]
        for i in context.progress.track(taught, "teacher statistics", len(taught)):
            descriptors = self._teachers(train.batch([i]), context)
            for moment, values in zip(moments, descriptors, strict=True):
                moment.add(values)
        self.scale_ = torch.stack([moment.mean_and_std() for moment in moments])  # (F, 2, 128)

    @torch.no_grad()
    def _calibrate(self, train: Images, held: Sequence[int], context: Context) -> None:
        """Measure mean and standard deviation of error and variance on normal images held out."""
        moments = [Moments() for _ in self.fields]
        for i in context.progress.track(held, "calibration", len(held)):
            evidence = self._evidence(train.batch([i]), context)
            for moment, values in zip(moments, evidence, strict=True):
                moment.add(values)
        spread = torch.stack([moment.mean_and_std() for moment in moments])
        self.spread_ = spread.view(*spread.shape, 1, 1)  # (F, 2, 2, 1, 1)
