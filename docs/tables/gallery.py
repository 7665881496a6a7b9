"""The papers' ten tables from our own records: python docs/tables/gallery.py (or make tables).

Writes one Markdown file per table beside this one and, where pdflatex and pdftoppm are installed, a
picture of the compiled page.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import benchmark
from benchmark.tables import TABLES, make
from benchmark.tables.layout import Layout

HERE = Path(__file__).parent
RESULTS = HERE.parents[1] / "results" / "reference"
AVOIDED = ("mobilenetv2_100",)
"""Where a method was run with several backbones, not these: the papers' are nearer to a ResNet."""
PAGE = r"""\documentclass{article}
\usepackage[margin=2cm,landscape]{geometry}
\usepackage[utf8]{inputenc}\usepackage[T1]{fontenc}\usepackage{booktabs,graphicx,amsmath,amssymb}
\pagestyle{empty}\begin{document}
%s
\end{document}
"""


def shown() -> list[str]:
    """One configuration per method and data set: without the avoided backbones if there is another,
    then the one with most records, then the one trained longest. Scores play no part."""
    frame = benchmark.load_results(RESULTS)
    frame = frame[(frame["status"] == "ok") & (frame["protocol_name"] == "paper")]
    names = {}
    for _, rows in frame.groupby(["method", "dataset"], sort=True):
        others = rows[~rows["name"].str.contains("|".join(AVOIDED))]
        kept = (others if len(others) else rows).groupby("name")["fit_seconds"]
        order = kept.agg(["size", "mean"]).sort_values(["size", "mean"], ascending=False)
        names[str(order.index[0])] = None
    return list(names)


def main() -> None:
    methods = shown()
    latex = shutil.which("pdflatex") and shutil.which("pdftoppm")
    for name, table in TABLES.items():
        if not isinstance(table, Layout):
            continue
        options: dict[str, Any] = {"results": [RESULTS], "methods": methods}
        text = make(name, **options)
        picture = f"\n\n![compiled]({name}.png)" if latex else ""
        (HERE / f"{name}.md").write_text(f"{text}{picture}\n")
        if latex:
            page(make(name, form="latex", **options), HERE / name)
        print(name)


def page(latex: str, out: Path) -> None:
    """The compiled page as a picture, cut to what is on it."""
    from PIL import Image, ImageChops

    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "table.tex").write_text(PAGE % latex)
        for command in (
            ["pdflatex", "-interaction=batchmode", "table.tex"],
            ["pdftoppm", "-r", "110", "-png", "-singlefile", "table.pdf", "table"],
        ):
            subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        with Image.open(Path(folder) / "table.png") as drawn:
            grey = drawn.convert("L")
    box = ImageChops.invert(grey).getbbox()
    assert box is not None
    left, top, right, bottom = box
    grey = grey.crop((left - 10, top - 10, right + 10, bottom + 10)).quantize(8)
    grey.save(out.with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
