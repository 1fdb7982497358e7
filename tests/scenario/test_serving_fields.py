import jsonschema
import pytest
import yaml

from gigawatt.errors import InputError
from gigawatt.scenario import load_scenario, scenario_schema
from gigawatt.scenario._serving_kinds import SHAPES
from gigawatt.serving._shapes import shape_names

FULL = """
serving:
  traffic:
    - name: chat
      users: 2M
      requests_per_user: 8 per day
      prompt: {mean: 1155 tokens, p50: 1020, max: 14k}
      output: {p50: 129, p99: 601, tail: 2.5}
      max_context: 128Ki
      turns: 5
      pause: 60 s
      system_prompt: 1500
      day_shape: chat
      week_shape: [1, 1, 1, 1, 1, 1, 1]
      growth_per_year: 2.5
      priority: 1
      ttft: 2 s
      tpot: 50 ms
      percentile: 99 %
    - {name: agents, rate: 12 requests/s, prompt: 400, output: 200 tokens, calls: 20, tool_pause: 5 s, tool_tokens: 800}
    - {name: search, rate: 500 per s, prompt: {min: 100, max: 200}, output: 500, document: 100k, documents: 500, document_skew: 0.8}
    - {name: code, trace: azure code 2023, rate: 30 per s, arrivals: gamma, burstiness: 4, percentile: 0.9}
    - {name: api, trace: my.csv, rate: 30 per s, arrivals: bursty, burst_ratio: 5, burst_length: 30 s, quiet_length: 5 min}
  images:
    - {name: pictures, model: FLUX.1-dev, rate: 3 per s, steps: 28, guidance: true, resolution: 1024x768, seconds: 10 s}
  accelerators: [H100 SXM, B200 SXM]
  engine: vllm
  precision: [bf16, fp8]
  kv_precision: fp8
  layout: {tensor_parallel: 8, attention_data_parallel: 2}
  disaggregated: yes
  prefill_accelerator: H200 SXM
  max_sequences: 256
  token_budget: 8192
  prefix_cache: true
  offload: {host: 1 TB, disk: 8 TB}
  draft_tokens: 3
  acceptance: 70 %
  cache_hit: 0.5
  objective: power
  start_up: 3 min
  headroom: 10 %
  spare_replicas: 1
  months: 24
  night: none
  duration: 20 min
  seed: 7
  prices: {input: $0.28 per million tokens, cached: 0.028, output: $4.2e-7/token}
  compare_price: {input: 2, output: $8 per million tokens}
"""


def write(tmp_path, text):
    path = tmp_path / "s.yaml"
    path.write_text(text)
    return path


def test_every_field_comes_through_in_si(tmp_path):
    section = load_scenario(write(tmp_path, FULL)).serving
    chat, agents, search, code, api = section.traffic
    assert chat.users * chat.requests_per_user == pytest.approx(2e6 * 8 / 86400)
    assert (chat.prompt.mean, chat.prompt.p50, chat.prompt.max) == (1155, 1020, 14_000)
    assert (chat.output.tail, chat.max_context, chat.pause, chat.tpot, chat.percentile) == (2.5, 2**17, 60, 0.05, 0.99)
    assert (chat.day_shape, chat.week_shape) == ("chat", (1.0,) * 7)
    assert (agents.rate, agents.prompt.mean, agents.output.mean, agents.tool_tokens.mean) == (12, 400, 200, 800)
    assert (search.rate, search.document, search.documents) == (500, 1e5, 500)
    assert (code.trace, code.burstiness, api.quiet_length) == ("azure code 2023", 4, 300)
    assert section.images[0].resolution == (1024, 768)
    assert section.disaggregated == "yes"
    assert section.night == "none"
    assert section.offload.disk == 8e12
    assert section.layout.pipeline_parallel is None
    assert (section.prices.input, section.prices.cached, section.prices.output) == pytest.approx(
        (2.8e-7, 2.8e-8, 4.2e-7)
    )
    assert section.compare_price.output == pytest.approx(8e-6)
    assert load_scenario(write(tmp_path, "name: x\n")).serving is None


def test_the_schema_takes_what_the_program_takes():
    validator = jsonschema.Draft202012Validator(scenario_schema())
    assert list(validator.iter_errors(yaml.safe_load(FULL))) == []
    assert list(validator.iter_errors({"serving": {"traffic": [{"name": "a", "day_shape": "ofice"}]}}))
    assert list(validator.iter_errors({"serving": {"disaggregated": "maybe"}}))


def test_shapes_are_those_of_the_engine():
    assert set(SHAPES) == set(shape_names())


def test_overrides_reach_into_a_class(tmp_path):
    scenario = load_scenario(
        write(tmp_path, FULL),
        ["serving.traffic.0.prompt=2k", "serving.traffic.1.rate=1 per s", "serving.engine=sglang"],
    )
    assert scenario.serving.traffic[0].prompt.mean == 2000
    assert scenario.serving.traffic[1].rate == 1
    assert scenario.serving.engine == "sglang"


CHAT = "name: chat, rate: 5 per s, prompt: 100, output: 50"


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (f"{CHAT}, users: 5, requests_per_user: 1 per day", "2:{col}: serving.traffic.0.users: give a rate or users"),
        ("name: chat, prompt: 100, output: 50", "serving.traffic.0: this needs a rate, or users"),
        ("name: chat, users: 5, prompt: 100, output: 50", "serving.traffic.0: requests_per_user is missing"),
        ("name: chat, rate: 5 per s, prompt: 100", "this needs output, or a trace"),
        ("name: chat, rate: 5 per s", "this needs prompt and output, or a trace"),
        (f"{CHAT}, trace: azure code 2023", "serving.traffic.0.prompt: give lengths or a trace, not both"),
        ("name: chat, rate: 5 per s, trace: a, turns: 3", "serving.traffic.0.turns: prompts of a trace hold"),
        (
            f"{CHAT}, percentile: 1",
            "serving.traffic.0.percentile: impossible value; found 1; allowed: above 0 and below 1",
        ),
        (f"{CHAT}, percentile: 99", "serving.traffic.0.percentile: impossible value"),
        (
            f"{CHAT}, day_shape: ofice",
            "day_shape: unknown shape; found 'ofice'; allowed: chat, office, api, flat, or 24",
        ),
        (f"{CHAT}, day_shape: ofice", "did you mean 'office'?"),
        (f"{CHAT}, week_shape: [1, 2]", "week_shape: not a shape"),
        (f"{CHAT}, day_shape: [{', '.join(['0'] * 24)}]", "not all of them 0"),
        (f"{CHAT}, arrivals: gamma", "gamma arrivals need burstiness"),
        (f"{CHAT}, burstiness: 3", "this belongs to arrivals: gamma, they are poisson"),
        (f"{CHAT}, arrivals: bursty, burst_ratio: 3, burst_length: 3 s", "bursty arrivals need quiet_length"),
        (f"{CHAT}, arrivals: poison", "did you mean 'poisson'?"),
        (f"{CHAT}, documents: 3", "this needs the length of a document"),
        (f"{CHAT}, system_prompt: 900, max_context: 800", "leave no room in the context"),
        (f"{CHAT}, tool_tokens: 900", "give calls above 1"),
        (f"{CHAT}, turns: 0.5", "serving.traffic.0.turns: impossible value"),
        (f"{CHAT}, ttft: 2", "serving.traffic.0.ttft: a unit is missing"),
        ("name: chat, rate: 5, prompt: 100, output: 50", "serving.traffic.0.rate: a unit is missing"),
        ("name: chat, rate: 5 per s, prompt: 3 W, output: 50", "serving.traffic.0.prompt: this is a power"),
        ("name: chat, rate: 5 per s, prompt: {meen: 3}, output: 50", "serving.traffic.0.prompt.meen: unknown field"),
        ("name: chat, rate: 5 per s, prompt: {p50: 3}, output: 50", "one statistic makes no distribution"),
        ("name: chat, rate: 5 per s, prompt: {p50: 9, p99: 3}, output: 50", "p99 is below p50"),
        ("name: chat, rate: 5 per s, prompt: {min: 9, max: 3}, output: 50", "min is above max"),
        ("name: chat, rate: 5 per s, prompt: {min: 9}, output: 50", "or min and max"),
        ("name: chat, rate: 5 per s, prompt: {mean: 9, p50: 8, max: 5}, output: 50", "outside of min and max"),
        ("name: chat, rate: 5 per s, prompt: {mean: 9, tail: 3}, output: 50", "a tail needs two of"),
        (f"{CHAT}}}, {{{CHAT}", "serving.traffic.1.name: the name 'chat' is taken"),
    ],
)
def test_contradictions_have_their_place(tmp_path, item, words):
    text = f"serving:\n  traffic: [{{{item}}}]\n"
    with pytest.raises(InputError) as error:
        load_scenario(write(tmp_path, text))
    col = text.splitlines()[1].find("users: 5") + len("users: ") + 1
    assert words.format(col=col) in str(error.value)
    assert all("s.yaml:2" in problem.location for problem in error.value.problems)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ("prefill_accelerator: H200", "needs disaggregated: yes or search"),
        ("draft_tokens: 3", "guessed tokens need an acceptance"),
        ("acceptance: 0.7", "an acceptance needs draft_tokens"),
        ("offload: {host: 1 TB}, prefix_cache: false", "offload keeps shared beginnings"),
        ("precision: [fp6]", "allowed: bf16, fp8, fp4"),
        ("disaggregated: maybe", "serving.disaggregated: not one of the allowed values"),
        ("traffic: []", "serving.traffic: "),
        ("images: [{name: a, model: b, steps: 3, resolution: big, rate: 1 per s}]", "not a resolution; found 'big'"),
        ("images: [{name: a, model: b, steps: 3, resolution: 10x10}]", "serving.images.0: this needs a rate"),
        ("prices: {input: cheap}", "serving.prices.input: not a quantity"),
        ("prices: {input: -2}", "serving.prices.input: impossible value"),
        ("priecs: {input: 2}", "did you mean 'prices'?"),
    ],
)
def test_mistakes_about_the_engine(tmp_path, fields, words):
    with pytest.raises(InputError) as error:
        load_scenario(write(tmp_path, f"serving: {{{fields}}}\n"))
    assert words in str(error.value)
