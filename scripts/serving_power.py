"""Fit the law of serving power to measured rows and print its errors on models left out.

    python scripts/serving_power.py

Rows: Llama 3.1 8B, 70B and 405B on H100 of validation/data/power_published.csv (ML.ENERGY Leaderboard v3), GPUs only. The law is
share of limit = floor + (1 - floor)*n/(n + half) with n sequences in the replica; squared logarithms, every row alike. The floor of
B200 follows from its row of 8 sequences with the same `half`.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

FACTS = Path(__file__).parents[1] / "src" / "gigawatt" / "validation" / "data" / "power_published.csv"
LIMIT = {"h100": 700.0, "b200": 1000.0}

Array: TypeAlias = NDArray[np.float64]


def rows(chip: str) -> list[tuple[str, float, float]]:
    """Return model, sequences and share of the limit per accelerator of the dense rows on a chip."""
    found = []
    for row in csv.DictReader(FACTS.read_text(encoding="utf-8").splitlines()):
        match = re.fullmatch(rf"mle-(llama-31-\w+?b)(?:-fp8)?-{chip}-(\d+)", row["id"])
        if match:
            count = float(re.search(r"(\d+) x", row["conditions"])[1])  # type: ignore[index]
            found.append((match[1], float(match[2]), float(row["value"].split()[0]) / count / LIMIT[chip]))
    return found


def law(parameters: Array, sequences: float) -> float:
    """Return the share of the limit; parameters are the floor and the logarithm of half."""
    floor, half = parameters[0], np.exp(parameters[1])
    return float(floor + (1 - floor) * sequences / (sequences + half))


def fit(known: list[tuple[str, float, float]]) -> Array:
    """Return the parameters that fit best."""

    def loss(parameters: Array) -> float:
        return sum(np.log(law(parameters, n) / share) ** 2 for _, n, share in known)

    return np.asarray(minimize(loss, np.array([0.6, 5.0]), method="Nelder-Mead", options={"xatol": 1e-8}).x)


def main() -> None:
    """Print the fit and the error of each row by the fit to the other models."""
    known = rows("h100")
    floor, half = fit(known)[0], np.exp(fit(known)[1])
    print(f"H100: floor {floor:.3f}, half at {half:.0f} sequences")
    ratios = []
    for name in dict.fromkeys(model for model, _, _ in known):
        others = fit([row for row in known if row[0] != name])
        print(f"without {name}: floor {others[0]:.3f}, half at {np.exp(others[1]):.0f}")
        ratios += [law(others, n) / share for model, n, share in known if model == name]
    off = 100 * np.abs(np.array(ratios) - 1)
    print(f"models left out: median {np.median(off):.1f} %, worst {off.max():.1f} %")
    _, n, share = next(row for row in rows("b200") if row[1] == 8)
    part = n / (n + half)
    print(f"B200: floor {(share - part) / (1 - part):.3f}")


if __name__ == "__main__":
    main()
