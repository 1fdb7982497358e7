import csv
import io
from functools import cache
from importlib.resources import as_file, files

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.validation import validate_cases

CASE = """id: mine
engine: power
power: {accelerator: H100 SXM, server: 8-GPU air}
checks:
  - {output: OUT, published: PUB, tolerance: 5 %, source: me}
"""


def data(name):
    return list(csv.DictReader(io.StringIO(files("gigawatt.validation").joinpath("data", name).read_text())))


@cache
def judged():
    with as_file(files("gigawatt.validation").joinpath("cases")) as folder:
        return [row for path in sorted(folder.glob("power-*.yaml")) for row in validate_cases(path)["rows"]]


def test_every_published_fact_on_power_has_one_status():
    status = data("power_status.csv")
    assert [row["id"] for row in status] == [row["id"] for row in data("power_published.csv")]
    checked = {(row["id"], row["output"], row["served_as_input"]) for row in judged()}
    for row in status:
        if row["status"] == "not predictable":
            assert all((row["reason"], row["detail"])), row["id"]
            assert (row["case"], row["output"]) == ("", ""), row["id"]
        else:
            assert row["status"] in ("prediction", "input")
            if row["case"].startswith("power-"):
                assert (row["case"], row["output"], row["status"] == "input") in checked, row["id"]
            else:  # a case of a whole plan
                assert files("gigawatt.validation").joinpath("cases", f"{row['case']}.yaml").is_file(), row["id"]


def test_predictions_stay_where_they_are_published():
    """Targets: median error at most 5 %, worst at most 15 %."""
    assert not [row["skipped"] for row in judged() if row["skipped"]]
    errors = np.abs([row["error_pct"] for row in judged() if not row["served_as_input"]])
    assert len(errors) >= 31
    assert np.median(errors) <= 5
    assert errors.max() <= 15
    assert all(row["inside"] for row in judged())


def test_a_case_of_the_power_engine(tmp_path):
    path = tmp_path / "case.yaml"
    path.write_text(CASE.replace("OUT", "node.idle").replace("PUB", "2 kW"))
    (row,) = validate_cases(path)["rows"]
    assert row["predicted"] == pytest.approx(2_253, rel=0.01)
    path.write_text(CASE.replace("OUT", "node.idel").replace("PUB", "2 kW"))
    assert "nearest: 'node.idle'" in validate_cases(path)["rows"][0]["skipped"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("accelerator: H100 SXM", "acelerator: H100 SXM", "did you mean 'accelerator'"),
        ("server: 8-GPU air", "limit: 700 kg", "limit"),
        ("power: {accelerator: H100 SXM, server: 8-GPU air}\n", "", "under power"),
        ("engine: power\n", "", "under power"),
        ("power: {", "scenario: {}\npower: {", "either an inline scenario"),
    ],
)
def test_a_broken_case_of_the_power_engine_says_where(tmp_path, old, new, words):
    path = tmp_path / "case.yaml"
    path.write_text(CASE.replace(old, new).replace("OUT", "node.idle").replace("PUB", "2 kW"))
    with pytest.raises(InputError, match=words) as error:
        validate_cases(path)
    assert "case.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [("server: blade", "unknown class of servers"), ("requests_per_s: 1 Hz", "'output_tokens' of power")],
)
def test_what_the_power_room_refuses_is_skipped_with_the_reason(tmp_path, change, words):
    path = tmp_path / "case.yaml"
    path.write_text(CASE.replace("server: 8-GPU air", change).replace("OUT", "node.idle").replace("PUB", "2 kW"))
    assert words in validate_cases(path)["rows"][0]["skipped"]
