"""Training a model of anomalib by Lightning, quietly and seeded, on a run's images."""

from __future__ import annotations

import random
import signal
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from benchmark import Context, Images, seeded
from benchmark.errors import SettingsError

PASSES = {"ReverseDistillation": 200, "Stfpm": 100}
"""Passes over the training images, as in the papers, of models that leave them to the trainer."""


def train_model(
    model: Any, train: Images, context: Context, epochs: int | None, batch: int, name: str
) -> int:
    """Train by Lightning; returns the number of steps.

    Raises:
        SettingsError: neither the model nor ``epochs`` says for how long.
    """
    from lightning.pytorch import LightningDataModule, Trainer
    from lightning.pytorch.callbacks import LambdaCallback

    options = {**model.trainer_arguments, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    options["max_epochs"] = epochs or options.get("max_epochs") or PASSES.get(name)
    if options["max_epochs"] is None:
        raise SettingsError(
            f"anomalib's {name} does not say how long it trains; give the passes over the training "
            "images, for instance --set anomalib.epochs=100"
        )
    images = _Passes(train, context, batch)
    data = LightningDataModule()
    data.train_batch_size = data.eval_batch_size = batch
    data.train_dataloader = data.val_dataloader = lambda: images
    total = options["max_epochs"] * len(images)
    steps = iter(context.progress.track(range(total), "training", total))

    own = signal.getsignal(signal.SIGTERM)

    def start(*_: Any) -> None:
        """Take back the end signal, which Lightning answers only after what may take minutes."""
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, own)

    def step(trainer: Any, *_: Any) -> None:
        if next(steps, None) is None:  # a dry run ends a training early
            trainer.should_stop = True

    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            **options,
            accelerator="gpu" if context.device.type == "cuda" else context.device.type,
            **({"devices": 1} if "devices" not in options else {}),
            precision="bf16-mixed" if context.precision == "bfloat16" else "32-true",
            callbacks=[LambdaCallback(on_train_start=start, on_train_batch_start=step)],
            default_root_dir=folder,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        try:
            trainer.fit(model, datamodule=data)
        except SystemExit as stop:  # what Lightning makes of an interrupt
            raise KeyboardInterrupt from stop
    return int(trainer.global_step)


class _Passes:
    """The training images as anomalib's batches, shuffled anew for each pass."""

    def __init__(self, train: Images, context: Context, batch: int) -> None:
        self.train, self.context, self.batch_size = train, context, batch
        self._passes = 0

    def __len__(self) -> int:
        return (len(self.train) + self.batch_size - 1) // self.batch_size

    def __iter__(self) -> Iterator[Any]:
        from anomalib.data import ImageBatch

        order = self.context.rng(f"order of pass {self._passes}")
        self._passes += 1
        for batch in self.train.batches(self.batch_size, shuffle=order):
            labels = torch.zeros(len(batch), dtype=torch.long)
            # a copy, since augmentations may work in place
            yield ImageBatch(image=batch.pixels.clone(), gt_label=labels)


@contextmanager
def all_seeded(context: Context) -> Iterator[None]:
    """Seed the global generators of torch, NumPy and Python, and put them back afterwards."""
    kept, numpy_kept = random.getstate(), np.random.get_state()
    seed = int(context.rng("global").integers(2**32))
    random.seed(seed)
    np.random.seed(seed)
    try:
        with seeded(context, "model"):
            yield
    finally:
        random.setstate(kept)
        np.random.set_state(numpy_kept)
