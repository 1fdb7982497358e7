import json

import jsonschema
import pytest
import yaml

from gigawatt.errors import InputError
from gigawatt.scenario import Setting, load_scenario, scenario_schema


def write(tmp_path, text, name="s.yaml"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def problems(tmp_path, text, overrides=()):
    with pytest.raises(InputError) as error:
        load_scenario(write(tmp_path, text), overrides)
    return error.value.problems


def test_quantities_become_si(tmp_path):
    scenario = load_scenario(
        write(
            tmp_path,
            "fleet: {accelerator: H100, count: 100k}\nsite: {grid_limit: 150 MW, electricity_price: $0.0674/kWh}\n"
            "training: {tokens: 13T tokens, global_batch: 2048 sequences, deadline: 19 days}\nnetwork: {scale_out: 400 Gb/s}\n",
        )
    )
    assert scenario.fleet.count == 100_000
    assert scenario.site.grid_limit == 1.5e8
    assert scenario.training.tokens == 13e12
    assert scenario.training.global_batch == ("sequence", 2048.0)
    assert scenario.training.deadline == 19 * 86400
    assert scenario.network.scale_out == 5e10
    assert scenario.place("site.grid_limit").endswith("s.yaml:2:20")
    assert scenario.name == "s"


@pytest.mark.parametrize(
    ("text", "tokens"), [("4096", 4096), ("'4096'", 4096), ("128k", 128_000), ("128Ki", 131_072), ("4 Ki tokens", 4096)]
)
def test_a_sequence_may_be_a_bare_number_of_tokens(tmp_path, text, tokens):
    assert load_scenario(write(tmp_path, f"training: {{sequence_length: {text}}}\n")).training.sequence_length == tokens


@pytest.mark.parametrize(
    ("text", "batch"),
    [
        ("512", ("sequence", 512)),
        ("2k", ("sequence", 2000)),
        ("16Mi tokens", ("token", 2**24)),
        ("2 Ki sequences", ("sequence", 2048)),
    ],
)
def test_a_batch_may_be_a_bare_number_of_sequences(tmp_path, text, batch):
    assert load_scenario(write(tmp_path, f"training: {{global_batch: {text}}}\n")).training.global_batch == batch


def test_small_freedoms(tmp_path):
    scenario = load_scenario(
        write(tmp_path, "model: hf/config.json\ntraining: {precision: BF16}\nstrategy: {recompute_layers: 0}\n")
    )
    assert scenario.model == {"config": "hf/config.json"}
    assert scenario.training.precision == "bf16"
    assert scenario.strategy.recompute_layers == 0


def test_a_setting_is_named_as_the_option_that_gave_it(tmp_path):
    setting = Setting(path="fleet.count", value="none", place="--count none")
    with pytest.raises(InputError, match=r"^--count none: fleet.count: not a quantity"):
        load_scenario(write(tmp_path, "name: x\n"), [setting])


def test_every_section_is_optional(tmp_path):
    assert load_scenario(write(tmp_path, "name: nothing\n")).fleet.count is None


BAD = {
    "unknown field": ("fleet: {acelerator: H100}\n", "s.yaml:1:21", "did you mean 'accelerator'"),
    "unknown section": ("flet: {count: 3}\n", "s.yaml:1:7", "did you mean 'fleet'"),
    "energy for power": ("site:\n  grid_limit: 150 MWh\n", "s.yaml:2:15", "this is an energy, a power is needed"),
    "no unit": ("site: {grid_limit: 150}\n", "s.yaml:1:20", "a unit is missing"),
    "zero accelerators": ("fleet: {accelerator: H100, count: 0}\n", "s.yaml:1:35", "a whole number from 1"),
    "half an accelerator": ("fleet: {accelerator: H100, count: 1.5}\n", "s.yaml:1:35", "whole number"),
    "negative price": ("finance: {accelerator_price: -$3}\n", "s.yaml:1:30", "impossible value"),
    "a comma inside braces": ("fleet: {accelerator: H100, count: 16,384}\n", "s.yaml:1:38", "allowed: count: 16384"),
    "two commas inside braces": ("training: {tokens: 1,000,000}\n", "s.yaml:1:26", "allowed: tokens: 1000000"),
    "more than there will ever be": ("fleet: {count: 1e20}\n", "s.yaml:1:16", "1,000,000,000"),
    "an endless number": (f"fleet: {{count: {'9' * 400}}}\n", "s.yaml:1:16", "not a finite number"),
    "a book as a sequence": ("training: {sequence_length: 1T}\n", "s.yaml:1:29", "at most 100 million tokens"),
    "kelvin": ("training: {sequence_length: 128K}\n", "s.yaml:1:29", "Ki for 1,024"),
    "a batch of nothing": ("training: {global_batch: 0}\n", "s.yaml:1:26", "1 sequences to"),
    "a wire of nothing": ("network: {scale_out: 1 b/s}\n", "s.yaml:1:22", "at least 1 kB/s"),
    "its own example": ("reliability: {restart_time: 90}\n", "s.yaml:1:29", "for example 15 min"),
    "ranks that overflow": (
        "strategy: {tensor_parallel: 100000, data_parallel: 100000}\n",
        "s.yaml:1:11",
        "100000 x 100000",
    ),
    "pue below one": ("site: {pue: 0.9}\n", "s.yaml:1:13", "at least 1"),
    "wrong choice": ("strategy: {recompute: ful}\n", "s.yaml:1:23", "did you mean 'full'"),
    "section as number": ("network: 5\n", "s.yaml:1:10", "a section of fields is needed"),
    "not finite": ("training: {tokens: 1e999 tokens}\n", "s.yaml:1:20", "not a finite number"),
    "both tokens and compute": ("training: {tokens: 1T tokens, compute: 1e24 FLOP}\n", "s.yaml:1:40", "not both"),
    "two fleets": ("fleet: {accelerator: H100, accelerators: []}\n", "s.yaml:1:42", "either"),
    "mixed fleet without counts": (
        "fleet: {accelerators: [{accelerator: H100}, {accelerator: H200}]}\n",
        "s.yaml:1:24",
        "needs the count",
    ),
    "twice": ("name: a\nname: b\n", "s.yaml:2:1", "stands here twice"),
    "truncated": ("fleet: {accelerator: H100, count: [\n", "s.yaml:2:1", "cut short"),
    "an anchor in itself": ("a: &a [*a]\n", "s.yaml", "an anchor stands inside itself"),
    "nested too deeply": ("a: " + "[" * 3000 + "]" * 3000 + "\n", "s.yaml", "nested too deeply"),
    "list at the top": ("- a\n", "s.yaml:1:1", "must be a mapping"),
    "empty": ("", "s.yaml", "the file is empty"),
    "not utf-8": (b"name: \xff\xfe\n", "s.yaml:1", "not UTF-8"),
    "bad date": ("date: soon\n", "s.yaml:1:7", "not a date"),
    "half an input": ("training: {input: {sample_bytes: 3 MB}}\n", "s.yaml:1:19", "needs both"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_says_where_and_what(tmp_path, name):
    text, place, words = BAD[name]
    found = problems(tmp_path, text)
    assert any(place in problem.location for problem in found), found
    assert words in "\n".join(map(str, found))


def test_all_mistakes_at_once_in_reading_order(tmp_path):
    found = problems(tmp_path, "fleet:\n  count: 0\nsite:\n  pue: 0.5\n  grid_limit: 3 kg\nnetwrk: {}\n")
    assert [problem.path for problem in found] == ["fleet.count", "site.pue", "site.grid_limit", "netwrk"]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        load_scenario(tmp_path / "none.yaml")
    with pytest.raises(InputError, match="this is a folder"):
        load_scenario(tmp_path)


def test_a_document_that_explodes_is_refused(tmp_path):
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    lines += [
        f"{name}: &{name} [{', '.join([f'*{before}'] * 10)}]" for before, name in zip("abcdef", "bcdefg", strict=True)
    ]
    assert "expands to more than" in str(problems(tmp_path, "\n".join(lines))[0])


def test_overrides(tmp_path):
    path = write(tmp_path, "fleet: {accelerators: [{accelerator: H100, count: 8}]}\n")
    scenario = load_scenario(
        path, ["fleet.accelerators.0.count=50000", "site.grid_limit=300 MW", "assumptions.power.pue_air=1.3"]
    )
    assert scenario.fleet.accelerators[0].count == 50_000
    assert scenario.site.grid_limit == 3e8
    assert scenario.assumptions == {"power.pue_air": 1.3}
    assert scenario.place("site.grid_limit") == "--set site.grid_limit=300 MW"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("nonsense", "path=value"),
        ("site.grid_limit=3 kg", "a power is needed"),
        ("fleet.accelerators.7.count=3", "no such place"),
        ("sit.pue=1.2", "did you mean 'site'"),
        ("site.pue=[", "not valid YAML"),
        ("fleet={accelerator: H100, count: 16,384}", "allowed: count: 16384"),
    ],
)
def test_bad_overrides(tmp_path, override, words):
    found = problems(tmp_path, "fleet: {accelerators: [{accelerator: H100, count: 8}]}\n", [override])
    assert words in "\n".join(map(str, found))
    assert any("--set" in problem.location for problem in found)


def test_the_schema_accepts_the_examples_and_refuses_what_the_program_refuses(examples):
    schema = scenario_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for path in sorted(examples.glob("*.yaml")):
        assert list(validator.iter_errors(yaml.safe_load(path.read_text()))) == [], path
    assert list(validator.iter_errors({"flet": {}}))
    assert list(validator.iter_errors({"strategy": {"recompute": "ful"}}))


def test_the_published_schema_is_in_step(docs):
    assert json.loads((docs / "scenario.schema.json").read_text()) == scenario_schema(), (
        "run: gigawatt schema scenario --out docs/scenario.schema.json"
    )


def test_every_field_is_described():
    def walk(node):
        for name, field in node.get("properties", {}).items():
            assert field.get("description") or "$ref" in json.dumps(field), name
        for part in node.get("$defs", {}).values():
            walk(part)

    walk(scenario_schema())
