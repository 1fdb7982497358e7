"""Any question gets an answer or a message: no traceback, no number that is not finite, no explanation that is not true."""

import json
import math
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gigawatt.catalog import load_catalog
from gigawatt.errors import GigawattError
from gigawatt.planning import evaluate_formula, plan_scenario
from gigawatt.reliability import RECOVERY_POLICIES
from gigawatt.report import plan_schema
from gigawatt.scenario import scenario_from_mapping

CATALOG = load_catalog()
SCHEMA = jsonschema.Draft202012Validator(plan_schema())


def section(**choices):
    return st.fixed_dictionaries({}, optional={name: st.sampled_from(values) for name, values in choices.items()})


QUESTIONS = st.fixed_dictionaries(
    {
        "fleet": st.fixed_dictionaries(
            {
                "accelerator": st.sampled_from(CATALOG.accelerator_names),
                "count": st.sampled_from([1, 2, 7, 8, 64, 4096, 100_000, 1_000_000, 10_000_000]),
            }
        ),
        "model": st.sampled_from(CATALOG.model_names),
        "training": section(
            precision=["bf16", "fp8", "fp16"],
            sequence_length=["1 token", "128 tokens", "131072 tokens"],
            global_batch=["1 sequences", "7 sequences", "16M tokens", "1B tokens"],
            deadline=["30 days"],
        ),
        "finance": st.fixed_dictionaries(
            {"accelerator_price": st.just("$20,000")},
            optional={"discount_rate": st.just("0 %"), "budget": st.sampled_from(["$1 million", "$1 billion"])},
        ),
    },
    optional={
        "site": section(grid_limit=["1 MW", "100 MW", "3 GW"], pue=[1, 1.2, 3], electricity_price=["$0/kWh"]),
        "reliability": section(policy=list(RECOVERY_POLICIES)),
        "network": section(oversubscription=[1, 4], in_network_reduction=[True]),
    },
)


@settings(max_examples=80, deadline=None)
@given(question=QUESTIONS)
def test_any_question_gets_an_answer_or_a_message(question):
    plan, message = None, ""
    try:
        plan = plan_scenario(scenario_from_mapping(question, name="random", folder=Path()), intervals=False)
    except GigawattError as error:
        message = str(error)
    if plan is None:
        assert 10 < len(message) < 1000
        return
    for path, output in plan.outputs.items():
        assert math.isfinite(output.value), path
        if output.formula:
            true = evaluate_formula(output, plan.outputs, plan.assumptions)
            assert true == pytest.approx(output.value, rel=1e-8, abs=1e-12), path
    assert 0 < plan["training.mfu"] <= plan["training.hfu"] < 1
    assert plan["power.facility"] <= plan["power.facility_peak"] * (1 + 1e-9)
    SCHEMA.validate(json.loads(json.dumps(plan.to_dict(), allow_nan=False)))
