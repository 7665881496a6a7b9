"""How often the ranks over categories are wrong, and how often they find a gap that is there.

    python tests/speed/planted.py [--draws 1000] [--categories 15]

Draws results of methods with known differences: two equal ones; two whose gap is 2 points with a
standard deviation of 2 points between categories; five, of which one has that gap to four equal
ones, so that Holm's correction counts ten pairs. DeLong's test is drawn for two equally good
detectors on 120 images.
"""

from __future__ import annotations

import argparse

import numpy as np

from benchmark.statistics.delong import delong
from benchmark.statistics.ranks import rank

GAP = 0.02


def main() -> None:
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--draws", type=int, default=1000, metavar="N")
    options.add_argument("--categories", type=int, default=15, metavar="N")
    given = options.parse_args()
    rng, draws, count = np.random.default_rng(0), given.draws, given.categories
    equal = sum(rank("ab", rng.normal(size=(2, count))).apart(0, 1) for _ in range(draws))
    found = each = wrong = 0
    for _ in range(draws):
        first = rng.normal(0.9, 0.05, count)
        second = first - rng.normal(GAP, GAP, count)
        found += rank("ab", np.stack([first, second])).apart(0, 1)
        # differences of two of the five have the same deviation as those of the pair above
        five = first + rng.normal(0, GAP / np.sqrt(2), (5, count))
        five[0] += GAP
        ranking = rank("abcde", five)
        best = ranking.names.index("a")
        others = [i for i in range(5) if i != best]
        each += sum(ranking.apart(best, i) for i in others)
        wrong += any(ranking.apart(i, j) for i in others for j in others if i < j)
    images, bad = 120, np.arange(120) < 60
    chance = 0
    for _ in range(draws):
        shared = rng.normal(size=images) + 1.5 * bad
        a, b = (shared + rng.normal(0, 0.7, images) for _ in range(2))
        chance += delong(a[None], b[None], bad).p < 0.05
    print(f"two equal methods called different: {equal / draws:.1%} of {draws}")
    print(f"a gap of 2 points, deviation 2 points, found: {found / draws:.1%}")
    print(f"one of five better than four equal ones, each pair found: {each / (4 * draws):.1%}")
    print(f"  any two of the equal four called different: {wrong / draws:.1%}")
    print(f"DeLong, two equally good detectors called different: {chance / draws:.1%}")


if __name__ == "__main__":
    main()
