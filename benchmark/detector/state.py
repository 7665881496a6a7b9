"""What a fitted detector or an asset consists of, on disk as safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from benchmark.errors import StoreError


@dataclass(frozen=True)
class State:
    """The parts of a fitted detector (or an asset): tensors and plain JSON values.

    Kept as one safetensors file with the JSON in its header; nothing is ever pickled.
    """

    tensors: Mapping[str, Tensor] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(t.numel() * t.element_size() for t in self.tensors.values())

    def save(self, path: Path) -> None:
        """Write beside ``path`` and rename, so that the file is whole or absent."""
        from safetensors.torch import save_file

        temporary = path.with_name(f".{path.name}.part")
        tensors = {k: t.detach().cpu().contiguous() for k, t in self.tensors.items()}
        save_file(tensors, temporary, metadata={"values": json.dumps(dict(self.values))})
        temporary.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises:
            StoreError: the file is missing or is no state file.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, framework="pt") as file:
                header = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError) as error:
            raise StoreError(f"{path}: cannot be read as a safetensors file ({error})") from error
        return cls(tensors, json.loads(header.get("values", "{}")))


@dataclass(frozen=True)
class LoadedAsset:
    """An asset as a run uses it.

    Attributes:
        state: tensors and values that ``build`` returned.
        sha256: of the file, 16 digits; enters the identity of a cell.
        info: settings, fingerprint and number of the images, weights that were used.
    """

    state: State
    sha256: str
    info: dict[str, Any]

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that the asset was built with."""
        settings: dict[str, Any] = self.info["settings"]
        return settings
