"""The colours of charts hold against the page, under text, in grey and for every kind of colour vision."""

import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import gigawatt.report

CSS = (Path(gigawatt.report.__file__).parent / "assets" / "report.css").read_text(encoding="utf-8")
# Machado, Oliveira and Fernandes (2009), severity 1; linear RGB
VISION = {
    "usual": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
    "grey": np.tile([0.2126, 0.7152, 0.0722], (3, 1)),
}
XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def linear(colour):
    value = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def contrast(one, other):
    """WCAG 2.2: from 1 (the same) to 21 (black on white)."""
    low, high = sorted(float(VISION["grey"][0] @ linear(colour)) for colour in (one, other))
    return (high + 0.05) / (low + 0.05)


def lab(colour, vision):
    value = XYZ @ np.clip(VISION[vision] @ linear(colour), 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(value > 0.008856, np.cbrt(value), 7.787 * value + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.fixture(params=["light", "dark"])
def colours(request):
    light, dark = (dict(re.findall(r"--([\w-]+): (#\w{6})", part)) for part in CSS.partition("@media screen")[::2])
    assert set(light) == set(dark)
    return light if request.param == "light" else dark


def test_the_formula_of_contrast():
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_colours_stand_out_from_the_page(colours):
    hues = [colours[f"hue-{i}"] for i in range(10)]
    assert min(contrast(hue, colours[ground]) for hue in hues for ground in ("paper", "panel")) >= 3.0
    assert min(contrast(hue, colours[f"on-{i % 2}"]) for i, hue in enumerate(hues)) >= 4.5
    assert contrast(colours["soft"], colours["panel"]) >= 4.5


@pytest.mark.parametrize("vision", VISION)
def test_neighbours_are_told_apart(colours, vision):
    hues = [colours[f"hue-{i}"] for i in range(10)]
    apart = [np.linalg.norm(lab(one, vision) - lab(other, vision)) for one, other in pairwise(hues)]
    assert min(apart) >= 15.0
