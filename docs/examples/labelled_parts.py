"""A whole data set in one file: a table beside the images says what each of them shows."""

import csv

from benchmark import Category, Dataset, FileSource, Sample
from benchmark.errors import DataError


class LabelledParts(Dataset):
    """Parts photographed one by one. ``parts.csv`` has a line per image:

    part,split,file,defect,mask
    bolt,train,images/0001.png,good,
    bolt,test,images/0002.png,scratch,masks/0002.png
    """

    title = "Labelled parts"
    licence = "ours"
    citation = "photographed at our own line"
    origin = "copy parts.csv and the two folders images and masks from the inspection station"
    size = 256

    def categories(self) -> list[str]:
        return list(dict.fromkeys(line["part"] for line in self._lines()))

    def category(self, name: str) -> Category:
        lines = [line for line in self._lines() if line["part"] == name]
        train = [self._sample(line) for line in lines if line["split"] == "train"]
        test = [self._sample(line) for line in lines if line["split"] == "test"]
        return Category(name, train, test)

    def _sample(self, line: dict[str, str]) -> Sample:
        mask = FileSource(self.place() / line["mask"]) if line["mask"] else None
        label = int(line["defect"] != "good")
        return Sample(
            line["file"], FileSource(self.place() / line["file"]), label, line["defect"], mask
        )

    def _lines(self) -> list[dict[str, str]]:
        table = self.place() / "parts.csv"
        if not table.is_file():
            raise DataError(f"{table}: no such file; {self.origin}")
        with table.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file))
