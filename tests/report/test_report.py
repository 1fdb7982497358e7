import io
import json
import os
import re
import stat
import threading
from functools import cache
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

import gigawatt
from gigawatt.errors import OutputError
from gigawatt.planning import explain
from gigawatt.report import (
    check_writable,
    make_folder,
    plan_page,
    plan_schema,
    print_entry,
    print_explanation,
    print_listing,
    print_plan,
    strategy_words,
    write_atomically,
)
from gigawatt.report._training import idle_note, strategy_option
from gigawatt.training import NAMED, strategy_of


@cache
def plan():
    return gigawatt.plan(Path(__file__).parents[2] / "examples" / "colossus-100k.yaml")


def printed(show, *arguments, width=80):
    stream = io.StringIO()
    show(*arguments, Console(file=stream, width=width))
    return stream.getvalue()


@pytest.mark.parametrize("width", [80, 120])
def test_the_summary_fits_a_screen_and_is_plain_when_piped(width):
    text = printed(print_plan, plan().to_dict(), width=width)
    assert "\x1b" not in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width
    assert len(text.splitlines()) <= 50
    for word in ("what binds", "smallest change", "strategy", "training run", "facility power"):
        assert word in text


def test_the_explanation_shows_formula_and_source():
    text = printed(print_explanation, explain(plan(), "power.facility"), width=120)
    assert "(pue - 1) * it" in text
    assert "Google fleet 1.10" in text
    assert "measured; " in text


def test_the_page_is_one_file_without_addresses():
    page = plan_page(plan().to_dict())
    head = page.split('<script type="application/json"')[0]
    assert not re.search(r"""(src|href)=["'](?!data:,)""", head)
    assert "@import" not in head
    assert page.count("<script") == 3
    for chart in ("step_time", "memory", "power", "capex", "run_cost", "timeline_run", "tornado_time"):
        assert f'data-chart="{chart}"' in page
    unbroken = page.replace("<wbr>", "")
    assert all(f"<code>{path}</code>" in unbroken for path in (*plan().assumptions, *plan().outputs))


def test_text_of_a_scenario_cannot_break_out():
    data = json.loads(json.dumps(plan().to_dict()))
    evil = "</script><img src=x onerror=alert(1)>"
    data["scenario"]["name"] = evil
    data["breakdowns"]["power"]["children"][0]["label"] = evil
    page = plan_page(data)
    assert evil not in page


def test_nothing_half_written(tmp_path):
    target = tmp_path / "report.html"
    write_atomically(target, plan_page(plan().to_dict()))
    assert target.stat().st_size > 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path / "no" / "such" / "folder.html", "text")
    with pytest.raises(OutputError, match="cannot write"):
        write_atomically(tmp_path, "text")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_the_published_schema_is_in_step(docs):
    jsonschema.Draft202012Validator.check_schema(plan_schema())
    assert json.loads((docs / "plan.schema.json").read_text()) == plan_schema(), (
        "run: gigawatt schema plan --out docs/plan.schema.json"
    )


def test_a_link_stays_a_link_and_its_target_is_written(tmp_path):
    real, link = tmp_path / "real.html", tmp_path / "link.html"
    link.symlink_to(real)
    write_atomically(link, "first")  # a link to a file that is not there yet
    write_atomically(link, "second")
    assert link.is_symlink()
    assert real.read_text() == "second"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "real.html"]


def test_a_pipe_is_written_through(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_text()))
    reader.start()
    check_writable(pipe)
    write_atomically(pipe, "through")
    reader.join(timeout=10)
    assert read == ["through"]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    assert [path.name for path in tmp_path.iterdir()] == ["pipe"]


def test_where_nothing_can_be_written_is_known_before(tmp_path):
    check_writable(tmp_path / "new.html")
    for path in (tmp_path, tmp_path / "none" / "new.html"):
        with pytest.raises(OutputError, match="cannot write"):
            check_writable(path)
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot make the folder"):
        make_folder(tmp_path / "file")


STRATEGY = {
    "tensor_parallel": 2,
    "pipeline_parallel": 1,
    "virtual_stages": 1,
    "data_parallel": 4,
    "context_parallel": 1,
    "expert_parallel": 1,
    "expert_tensor_parallel": 1,
    "micro_batch": 1,
    "recompute": "none",
    "recompute_layers": 0,
    "zero_stage": 1,
    "shard_ranks": 0,
    "sequence_parallel": 1,
    "schedule": "1f1b",
    "context_exchange": "ring",
    "tensor_overlap": 0,
    "offload_optimizer": 0,
    "offload_activations": 0,
}


@pytest.mark.parametrize(
    ("decision", "words"),
    [
        ({}, "tensor 2, pipeline 1, data 4, micro-batch 1, recompute none, ZeRO 1"),
        ({"tensor_overlap": 1}, "tensor overlap"),
        ({"offload_optimizer": 1}, "optimizer offload"),
        ({"offload_activations": 1}, "activation offload"),
        ({"sequence_parallel": 0}, "no sequence split"),
        ({"recompute": "full", "recompute_layers": 1}, "layers recomputed 1"),
        ({"shard_ranks": 1}, "shard group 1"),
        ({"context_parallel": 2, "context_exchange": "all_gather"}, "context by all_gather"),
        ({"virtual_stages": 2}, "chunks 2"),
    ],
)
def test_a_decision_that_is_not_as_usual_is_said_and_can_be_copied(decision, words):
    strategy = STRATEGY | decision
    assert words in strategy_words(strategy)
    stated = strategy_of(strategy_option(strategy).split("'")[1])
    for name, value in decision.items():
        assert stated[name] == NAMED.get(name, {}).get(value, value)


def test_idle_accelerators_are_explained():
    strategy = STRATEGY | {"tensor_parallel": 8, "pipeline_parallel": 16, "data_parallel": 123}
    assert idle_note(15744, 15744, 1953, strategy) == ""
    text = idle_note(16384, 15744, 1953, strategy)
    assert text.startswith("640 of 16,384 accelerators are idle: 1,953 sequences do not divide among 128 replicas")
    assert "1,920 or 2,048 would" in text
    assert "replicas of 128 do not divide them" in idle_note(16400, 16384, 2048, strategy | {"data_parallel": 128})
    assert "takes no more" in idle_note(16384, 8192, 2048, strategy | {"data_parallel": 64})


@pytest.mark.parametrize("kind", ["accelerators", "models", "facts", "prices", "cases"])
def test_listings_print(catalog, kind):
    assert printed(print_listing, kind, catalog.listing(kind), width=160)


def test_an_entry_shows_every_source(catalog):
    text = printed(print_entry, catalog.describe("accelerators", "H100"), width=160)
    assert "989 TFLOP/s" in text
    assert "Epoch AI" in text
    assert "estimate" in text


def test_the_page_of_serving_residuals_holds_a_chart_and_a_table_of_every_quantity():
    from gigawatt.report import serving_residuals_page
    from gigawatt.validation import validate_serving

    result = validate_serving()
    curve = result["summary"]["tpot_s"]["distribution"][""]
    median = result["summary"]["tpot_s"]["median_abs_error_pct"]
    assert curve[50][0] == pytest.approx(median, rel=0.01)
    assert [share for _, share in curve] == sorted(share for _, share in curve)
    page = serving_residuals_page(result)
    for words in ("errors-tpot_s", "errors-ttft_s", "errors-output_rate", "fitted without the chip", "MLPERF51"):
        assert words in page
