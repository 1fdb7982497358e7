"""Load files: read back by pandas, with the energy of what was written."""

import numpy as np
import pandas as pd
import pytest

from gigawatt.errors import InputError, OutputError
from gigawatt.export import LOAD_KINDS, write_load
from gigawatt.power import Block

ABOUT = {"version": "1", "scenario": "s", "model": "m", "used": 8, "accelerator": "H100", "seed": 0}


def blocks(count=3, samples=100, step_s=0.01):
    random = np.random.default_rng(1)
    for index in range(count):
        power = 1e8 + 1e7 * random.random(samples)
        yield Block(
            start_s=index * samples * step_s,
            step_s=step_s,
            power_w=power,
            minimum_w=power - 1e6,
            maximum_w=power + 1e6,
        )


@pytest.mark.parametrize("name", ["load.csv", "load.parquet"])
def test_a_load_file_is_read_back(tmp_path, name):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    write_load(blocks(), path, about=ABOUT, step_s=0.01)
    frame = pd.read_csv(path, comment="#") if path.suffix == ".csv" else pd.read_parquet(path)
    assert list(frame) == ["start_s", "power_w", "minimum_w", "maximum_w"]
    assert len(frame) == 300
    assert frame.power_w.sum() * 0.01 == pytest.approx(sum(block.energy_j for block in blocks()), rel=1e-9)
    assert frame.start_s.diff().dropna().to_numpy() == pytest.approx(0.01)


def test_a_csv_says_where_it_comes_from(tmp_path):
    path = tmp_path / "load.csv"
    write_load(blocks(1), path, about=ABOUT, step_s=0.01)
    head = path.read_text().splitlines()[:6]
    assert all(line.startswith("# ") for line in head)
    assert "W" in head[-1]


def test_pypsa_and_pandapower_get_megawatts(tmp_path):
    for kind, column in (("pypsa", "data_centre"), ("pandapower", "p_mw")):
        path = tmp_path / f"{kind}.csv"
        write_load(blocks(1), path, kind=kind, about=ABOUT, step_s=0.01)
        frame = pd.read_csv(path, index_col=0, parse_dates=kind == "pypsa")
        assert frame[column].between(99, 112).all()
    assert isinstance(pd.read_csv(tmp_path / "pypsa.csv", index_col=0, parse_dates=True).index, pd.DatetimeIndex)


@pytest.mark.parametrize(
    ("name", "kind", "words"), [("a.csv", "pypza", "pypsa"), ("a.txt", "load", ".csv"), ("a.parquet", "pypsa", ".csv")]
)
def test_other_files_are_refused(tmp_path, name, kind, words):
    with pytest.raises(InputError, match=words.replace(".", r"\.")):
        write_load(blocks(1), tmp_path / name, kind=kind, about=ABOUT, step_s=0.01)
    assert "load" in LOAD_KINDS


def test_nothing_half_written_is_left(tmp_path):
    def broken():
        yield from blocks(1)
        raise OSError("the disk is full")

    with pytest.raises(OutputError):
        write_load(broken(), tmp_path / "load.csv", about=ABOUT, step_s=0.01)
    assert list(tmp_path.iterdir()) == []
