"""Every image file below a category gets one role: random trees of known roles, and their refusals.

Names alone decide here, and a look at a picture is answered by what was planted.
``BENCH_TREES=2000 python -m pytest tests/data/test_roles.py`` tries more trees than a usual run.
"""

from __future__ import annotations

import os
import unicodedata
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmark.data.dataset import Role
from benchmark.datasets.folder import FolderData
from benchmark.datasets.folder.propose import proposal
from benchmark.datasets.folder.roles import assign, in_order
from benchmark.datasets.folder.rules import Rules, read_rules

TREES = int(os.environ.get("BENCH_TREES", "200"))
NONE = Rules(Path("folder.yaml"))
GOOD = ("good", "Normal", "OK", "defect-free", "okay")
BAD = ("bad", "NG", "defective", "abnormal", "Not OK")
TYPES = (
    *("dent", "scratch", "color", "missing_screw", "Beule_grün", "bent lead", "label_missing"),
    *("wrong mask", "mask_defect", "crack 2", "type1"),
)
BELOW = ("camera_0", "2024-05-02", "S0001", "night_shift", "left", "a/b")
STEMS = ("{:03}", "img_{}", "Part{}", "IMG 12{} (2)", "a-{}_b", "{}_regular", "grün{}")
BESIDE = ("{}_mask", "{}_GT", "mask_{}", "{}-mask", "{}Mask", "{}_label", "{}_seg", "{}_x", "{}")
APART = ("ground_truth", "masks", "GT", "Ground-Truth", "labels", "mask_dir", "annotations", "wahr")


@dataclass
class Tree:
    """Files of known roles.

    Attributes:
        kinds: what each file is: good, train, a defect (``defect:dent``), mask, unused, validation.
        of: image by mask.
        plain: whether nothing in it may be asked about.
    """

    kinds: dict[str, str] = field(default_factory=dict)
    of: dict[str, str] = field(default_factory=dict)
    plain: bool = True

    def divided(self) -> dict[str, str]:
        """The same, with four of five good images in training where there is no split."""
        if any(kind == "train" for kind in self.kinds.values()):
            return self.kinds
        good = sorted((p for p, kind in self.kinds.items() if kind == "good"), key=in_order)
        return self.kinds | {p: "train" for i, p in enumerate(good, 1) if i % 5}


def plant(seed: int) -> Tree:
    """A random tree of the grammar: split, names, depth, case, suffixes, masks, and what strays in."""
    rng = np.random.default_rng(seed)
    tree = Tree()

    def pick(*options: str) -> str:
        return options[rng.integers(len(options))]

    def chance(share: float) -> bool:
        return bool(rng.random() < share)

    stems, suffix, number = pick(*STEMS), pick(".png", ".jpg", ".JPG", ".bmp", ".tif"), 0
    unique = chance(0.5)

    def put(folder: str, kind: str, count: int) -> None:
        nonlocal number
        number = number if unique else 0
        says = f"{folder}/" != train  # directly in train nothing tells what a folder holds
        # directly below a folder for any defect a word would be a type: numbers and places are none
        options = BELOW if kind[7:] not in BAD else BELOW[:2]
        below = pick(*options) if chance(0.3) and says else ""
        for i in range(count):
            number += 1
            deep = f"{below}/" if below and i % 2 else ""
            tree.kinds[f"{folder}/{deep}{stems.format(number)}{suffix}"] = kind

    good, split = pick(*GOOD), chance(0.6)
    images = pick("images/", "Data/Images/") if chance(0.15) else ""
    train, test = images + pick("train/", "Training/"), images + pick("test/", "TEST/")
    if split:
        put(train.rstrip("/") if chance(0.2) else train + good, "train", 7)
    put((test if split else images) + good, "good", int(rng.integers(5, 12)))
    types = list(dict.fromkeys(pick(*TYPES) for _ in range(2)))
    place = test if split else images
    generic = pick(*BAD)
    form = pick("types", "bad", "bad of types")
    for name in types if form != "bad" else [generic]:
        folder = place + (f"{generic}/{name}" if form == "bad of types" else name)
        put(folder, f"defect:{name}", int(rng.integers(2, 6)))
    _masks(tree, rng, pick, chance, unique, suffix)
    _strays(tree, rng, pick, chance, split, train)
    if chance(0.2):  # as a Mac writes them
        renamed = {p: unicodedata.normalize("NFD", p) for p in tree.kinds}
        tree.of = {renamed[m]: renamed[i] for m, i in tree.of.items()}
        tree.kinds = {renamed[p]: kind for p, kind in tree.kinds.items()}
    return tree


def _masks(tree: Tree, rng, pick, chance, unique: bool, suffix: str) -> None:  # type: ignore[no-untyped-def]
    how = pick("none", "beside", "apart", "apart", "inside", "per image")
    owners = [p for p, kind in tree.kinds.items() if kind.startswith("defect")]
    if how == "beside" and chance(0.4):
        owners = list(tree.kinds)
    affix = pick(*BESIDE) if how == "beside" else pick("{}", "{}_mask", "{}_gt", "{}_label")
    ending = ".webp" if suffix == ".png" else ".png"
    root, flat, late = pick(*APART), unique and chance(0.4), chance(0.3)
    if root == "wahr":  # a name that says nothing: the masks' names must do
        affix = "{}"
    for owner in owners if how != "none" else []:
        folder, _, name = owner.rpartition("/")
        stem = affix.format(name.rpartition(".")[0])
        if how == "beside":
            mask = f"{folder}/{stem}{ending}"
        elif how == "inside":
            mask = f"{folder}/masks/{stem}{ending}"
        elif how == "per image":
            mask, tree.plain = f"ground_truth/{folder}/{name.rpartition('.')[0]}/000.png", False
        else:
            inner = folder.removeprefix("Data/").removeprefix("Images/").removeprefix("images/")
            inner = inner.split("/", 1)[1] if late and inner.lower()[:5] == "test/" else inner
            mask = f"{root}/{stem}{ending}" if flat else f"{root}/{inner}/{stem}{ending}"
        tree.kinds[mask] = "mask"
        tree.of[mask] = owner


def _strays(tree: Tree, rng, pick, chance, split: bool, train: str) -> None:  # type: ignore[no-untyped-def]
    images = [p for p, kind in tree.kinds.items() if kind != "mask"]
    some = images[rng.integers(len(images))]
    folder, _, name = some.rpartition("/")
    if chance(0.2):
        tree.kinds[f"{folder}/{pick('thumbnails', 'Thumbs')}/{name}"] = "unused"
    if chance(0.2):
        tree.kinds[f"{folder}/{pick('.', '.cache/', '@eaDir/', '__MACOSX/._')}{name}"] = "unused"
    if chance(0.2):
        tree.kinds.update({f"{pick('val', 'validation')}/good/{i}.png": "validation" for i in "12"})
    if chance(0.1) and split:
        tree.kinds[f"{train}bad/7.png"] = "unused"
    if chance(0.15):  # these may be anything: to be asked about
        tree.plain = False
        for path in (f"{pick('preview', 'photo')}.jpg", f"{pick('overlay', 'old')}/{name}"):
            tree.kinds[path] = "nothing"


def wrong(tree: Tree, roles: dict[str, Role]) -> list[str]:
    """The files that were given another role than theirs; a file that is asked about is none."""
    expected = tree.divided()
    if any(role.kind == "unsettled" for role in roles.values()):
        # a division counts good images, so it is known only where every one is settled
        expected = {p: "good" if k == "train" else k for p, k in expected.items()}
        roles = {p: replace(r, kind="good") if r.kind == "train" else r for p, r in roles.items()}
    out = []
    for path, role in roles.items():
        found = f"defect:{role.of}" if role.kind == "defect" else role.kind
        same = unicodedata.normalize("NFC", found) == unicodedata.normalize("NFC", expected[path])
        of_defect = path in tree.of and tree.kinds[tree.of[path]].startswith("defect")
        if of_defect and role.kind == "mask":
            same = same and role.of == tree.of[path]
        if not same and role.kind != "unsettled":
            out.append(
                f"{path}: {found} ({role.why}), and it is {expected[path]} {tree.of.get(path)}"
            )
    return out


def read(tree: Tree, rules: Rules = NONE, divide: bool = True) -> dict[str, Role]:
    """The roles, by names and by a look at the pictures."""
    roles: dict[str, Role] = assign(
        tree.kinds, rules, lambda path: tree.kinds[path] == "mask", divide
    )
    return roles


def test_random_trees_are_read_right_or_asked_about() -> None:
    asked = 0
    for seed in range(TREES):
        tree = plant(seed)
        roles = read(tree)
        assert set(roles) == set(tree.kinds)
        unsettled = [f"{p}: {r.why}" for p, r in roles.items() if r.kind == "unsettled"]
        assert not wrong(tree, roles), (seed, wrong(tree, roles))
        assert tree.plain or unsettled, seed
        assert not (tree.plain and unsettled), (seed, unsettled)
        asked += bool(unsettled)
    assert asked < 0.5 * TREES


def test_a_proposed_folder_yaml_gives_the_same_roles(tmp_path: Path) -> None:
    for seed in range(TREES // 4):
        tree = plant(seed)
        (tmp_path / "folder.yaml").write_text(proposal({"all": read(tree, divide=False)}))
        before, after = read(tree), read(tree, read_rules(tmp_path))
        for path, role in before.items():
            same = role.kind == after[path].kind and (
                role.kind != "defect" or role.of == after[path].of
            )
            assert same, (seed, path, role, after[path])


def test_trees_on_disk_are_read_by_what_is_pictured(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    mask = np.zeros((16, 16), np.uint8)
    mask[3:9, 4:10] = 255
    for seed in range(8):
        tree, root = plant(seed), tmp_path / f"tree{seed}"
        for path, kind in tree.kinds.items():
            file = root / path
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = mask if kind == "mask" else rng.integers(0, 256, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(file, lossless=True)  # of WebP, no other heeds it
        data = FolderData(root)
        found = data.roles(*data.categories())
        assert {p: r.kind for p, r in found.items()} == {p: r.kind for p, r in read(tree).items()}
