"""Fitting kernel efficiencies: constants that made the data come back, and bad files say where."""

import numpy as np
import pytest

from gigawatt.catalog import load_catalog
from gigawatt.errors import InputError
from gigawatt.hardware import chip_of, fit_kernels, operation_seconds, read_measurements

pytest.importorskip("scipy")
H100 = chip_of(load_catalog().accelerator("H100"))
HEADER = "chip,family,dtype,rows,columns,depth,count,seconds\n"


def measured(family="matmul", dtype="bf16", count=400, noise=0.02, seed=0):
    rng = np.random.default_rng(seed)
    lines = [HEADER]
    for _ in range(count):
        m, n, k = (float(2 ** rng.uniform(9, 15)) for _ in range(3))
        seconds = float(
            operation_seconds(
                H100,
                family=family,
                dtype=dtype,
                flop=np.float64(2 * m * n * k),
                bytes_moved=np.float64(2 * (m * k + k * n + m * n)),
                rows=m,
                columns=n,
                depth=k,
            )
        ) * np.exp(noise * rng.standard_normal())
        lines.append(f"H100 SXM,{family},{dtype},{m},{n},{k},1,{seconds}\n")
    return "".join(lines)


def test_the_constants_behind_the_data_come_back():
    fits = list(fit_kernels(read_measurements(measured(), "file.csv"), {"H100 SXM": H100}))
    assert len(fits) == 1
    own = H100.kernel("matmul", "bf16")
    assert fits[0].kernel.compute == pytest.approx(own.compute, rel=0.03)
    assert fits[0].kernel.launch_s == pytest.approx(own.launch_s, rel=0.3)
    assert fits[0].median_error < 0.03
    assert fits[0].shapes == 400


def test_too_few_shapes_are_not_fitted():
    assert not list(fit_kernels(read_measurements(measured(count=20), "file.csv"), {"H100 SXM": H100}))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("chip,family\n", "columns are missing"),
        (HEADER, "no measurements"),
        (HEADER + "H100 SXM,conv,bf16,1,1,1,1,1\n", "file.csv:2.*unknown family"),
        (HEADER + "H100 SXM,matmul,fp7,1,1,1,1,1\n", "file.csv:2.*unknown dtype"),
        (HEADER + "H100 SXM,matmul,bf16,1,1,1,1,-1\n", "file.csv:2.*positive"),
        (HEADER + "H100 SXM,matmul,bf16,1,nan,1,1,1\n", "file.csv:2.*positive"),
    ],
)
def test_bad_files_say_where(text, words):
    with pytest.raises(InputError, match=words):
        read_measurements(text, "file.csv")


def test_a_chip_that_is_not_known():
    with pytest.raises(InputError, match="unknown accelerator"):
        list(fit_kernels(read_measurements(measured(count=50), "file.csv"), {}))
