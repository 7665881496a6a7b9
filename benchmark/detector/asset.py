"""Assets: pre-trained parts that methods declare, built once and shared by every category.

An asset is a class beside the method that uses it: keyword-only settings, a name, and
``build(images, context) -> State``. ``bench pretrain NAME --images DIR`` builds it and keeps it as
safetensors + JSON in the assets folder; a run only loads it, and its hash enters the identity of
every cell that used it.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from benchmark import settings as settings_of
from benchmark.data.batch import Images
from benchmark.detector.context import Context
from benchmark.detector.state import LoadedAsset, State
from benchmark.errors import AssetError, StoreError


class Asset(ABC):
    """Base of all assets. Settings follow the same rules as a detector's."""

    name: ClassVar[str]
    """What ``bench pretrain`` calls it, for instance ``igd-encoder``."""
    size: ClassVar[int] = 256
    """Side of the square images that ``build`` gets."""

    def settings(self) -> dict[str, Any]:
        """Return the resolved settings; with the name they identify the asset."""
        return {name: getattr(self, name) for name in settings_of.declared(type(self))}

    @abstractmethod
    def build(self, images: Images, context: Context) -> State:
        """Train the part on natural images. Resumes from ``context.checkpoint`` after a kill."""

    def path(self, folder: Path) -> Path:
        """Return its file: name and the first 8 digits of the SHA-256 of its settings."""
        text = json.dumps(settings_of.as_json(self.settings()), sort_keys=True)
        return folder / f"{self.name}@{hashlib.sha256(text.encode()).hexdigest()[:8]}.safetensors"

    def save(self, state: State, info: dict[str, Any], folder: Path) -> Path:
        """Write the asset: the tensors first, the JSON that vouches for them last."""
        path = self.path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state.save(path)
        info = {
            **info,
            "name": self.name,
            "settings": settings_of.as_json(self.settings()),
            "sha256": _hash(path),
        }
        temporary = path.with_suffix(".json.part")
        temporary.write_text(json.dumps(info, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        temporary.replace(path.with_suffix(".json"))
        return path

    def load(self, folder: Path | None) -> LoadedAsset:
        """Read the asset back.

        Raises:
            AssetError: missing or damaged; names the command that builds it.
        """
        command = self._command()
        if folder is None:
            raise AssetError(
                f"asset {self.name} is needed and no assets folder was given; pass --assets-dir "
                f"(or BENCH_ASSETS) and build it once with: {command} --assets-dir DIR"
            )
        path = self.path(folder)
        try:
            info = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
            found = _hash(path)
        except FileNotFoundError as error:
            raise AssetError(
                f"asset {self.name} with settings {self.settings()}: {path} does not exist; build "
                f"it once with: {command} --assets-dir {folder}"
            ) from error
        except (OSError, ValueError) as error:
            raise AssetError(f"asset {self.name}: {path} is unreadable ({error})") from error
        if found != info.get("sha256"):
            raise AssetError(
                f"asset {self.name}: {path} is damaged (its SHA-256 differs from its JSON's); "
                f"delete both files and run: {command} --assets-dir {folder}"
            )
        try:
            return LoadedAsset(State.load(path), found, info)
        except StoreError as error:
            raise AssetError(f"asset {self.name}: {error}") from error

    def _command(self) -> str:
        """Write the ``bench pretrain`` that builds it, without folders."""
        command = f"bench pretrain {self.name} --images DIR"
        defaults = {k: default for k, (_, default) in settings_of.declared(type(self)).items()}
        for name, value in self.settings().items():
            if value != defaults[name]:
                text = json.dumps(settings_of.as_json({"v": value})["v"])
                command += f" --set {self.name}.{name}={text}"
        return command


def _hash(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]
