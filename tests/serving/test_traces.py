import gzip

import numpy as np
import pytest

from gigawatt.errors import InputError
from gigawatt.serving._summary import ideal_reuse, reused_tokens, squared_variation, summarise_requests
from gigawatt.serving._traces import PACKAGED_TRACES, read_trace

# The table of data/traces/README.md: requests, span (s), then mean, median, p90, p99 and most of prompt and output.
PUBLISHED = {
    "azure conversation 2023": (19_366, 3_502, (1155, 1020, 2735, 4142, 14050), (211, 129, 424, 601, 1000)),
    "azure code 2023": (8_819, 3_436, (2048, 1469, 5194, 7436, 7437), (27.9, 13, 55, 252, 1899)),
    "mooncake conversation": (12_031, 3_537, (12035, 6909, 27367, 85401, 126195), (343, 350, 597, 1120, 2000)),
    "mooncake synthetic": (3_993, 1_022, (15325, 11587, 38615, 66458, 191378), (149, 69, 389, 769, 893)),
}


def write(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def message(tmp_path, text, name="t.csv"):
    with pytest.raises(InputError) as error:
        read_trace(write(tmp_path, text, name))
    return str(error.value)


@pytest.mark.parametrize("name", PACKAGED_TRACES)
def test_packaged_traces_have_the_published_statistics(name):
    trace = read_trace(name)
    number, span, *lengths = PUBLISHED[name]
    assert len(trace) == number
    assert trace.arrival_s[0] == 0
    assert trace.arrival_s[-1] == pytest.approx(span, abs=0.5)
    assert (np.diff(trace.arrival_s) >= 0).all()
    assert trace.classes == (name,)
    for tokens, published in zip((trace.prompt_tokens, trace.output_tokens), lengths, strict=True):
        found = [tokens.mean(), *np.percentile(tokens, [50, 90, 99], method="higher"), tokens.max()]
        assert found == pytest.approx(published, rel=2e-3)


@pytest.mark.parametrize(("name", "share"), [("mooncake conversation", 0.37), ("mooncake synthetic", 0.65)])
def test_ideal_reuse_of_mooncake_is_as_published(name, share):
    trace = read_trace(name)
    assert ideal_reuse(trace) == pytest.approx(share, abs=0.005)
    seen: set[int] = set()
    slow = 0
    for index, prompt in enumerate(trace.prompt_tokens.tolist()):
        ids = trace.blocks[trace.block_start[index] : trace.block_start[index + 1]].tolist()
        leading = next((place for place, each in enumerate(ids) if each not in seen), len(ids))
        slow += min(512 * leading, prompt)
        seen.update(ids)
    assert reused_tokens(trace).sum() == slow
    assert set(trace.blocks.tolist()) == set(range(len(seen)))


def test_traces_without_blocks_reuse_nothing():
    trace = read_trace("Azure  Code 2023")
    assert ideal_reuse(trace) == 0
    (summary,) = summarise_requests(trace)
    assert summary.rate_per_s == pytest.approx(2.57, abs=0.005)
    assert summary.input_tokens_per_s == pytest.approx(2048 * 2.57, rel=3e-3)
    assert summary.burstiness == pytest.approx(173, rel=0.01)


@pytest.mark.parametrize(
    ("name", "variation"),
    [
        ("azure conversation 2023", 1.20),
        ("azure code 2023", 173.0),
        ("mooncake conversation", 9.2),
        ("mooncake synthetic", 1.02),  # made with Poisson arrivals, its authors say
    ],
)
def test_gaps_are_as_the_readme_says(name, variation):
    assert squared_variation(read_trace(name).arrival_s) == pytest.approx(variation, rel=0.005)


@pytest.mark.parametrize(
    "text",
    [
        "arrival_s,prompt_tokens,output_tokens\n0,10,2\n1.5,20,3\n",
        "Timestamp,Model,Request tokens,Response tokens,Total tokens\n5,GPT-4,10,2,12\n6.5,GPT-4,20,3,23\n",
        "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,10,2\n2023-11-16 18:17:05.4799600,20,3\n",
        "\ufeffarrival_ms,Input Length,Output-Length\n\n7000,10,2\n8500,20,3\n\n",
        '{"timestamp": 1000, "input_length": 10, "output_length": 2}\n\n{"timestamp": 2500, "input_length": 20, "output_length": 3}\n',
        '{"arrival_s": 1, "prompt_tokens": 10, "output_tokens": 2}\n{"arrival_s": 2.5, "prompt_tokens": 20, "output_tokens": 3}\n',
        gzip.compress(b"time,prompt,output\n0,10,2\n1.5,20,3\n"),
    ],
)
def test_one_trace_in_many_spellings(tmp_path, text):
    trace = read_trace(write(tmp_path, text), request_class="mine")
    assert trace.arrival_s == pytest.approx([0.0, 1.5])
    assert trace.prompt_tokens.tolist() == [10, 20]
    assert trace.output_tokens.tolist() == [2, 3]
    assert trace.classes == ("mine",)


def test_block_ids_become_dense(tmp_path):
    line = '{{"timestamp": {}, "input_length": 1200, "output_length": 1, "hash_ids": [{}]}}\n'
    trace = read_trace(write(tmp_path, line.format(0, "900, 7, 8") + line.format(1, "900, 7, 5"), "t.jsonl"))
    assert trace.blocks.tolist() == [0, 1, 2, 0, 1, 3]
    assert trace.block_start.tolist() == [0, 3, 6]
    assert trace.block_tokens == 512
    assert ideal_reuse(trace) == pytest.approx(1024 / 2400)


def test_bailian_times_are_seconds_and_blocks_of_16(tmp_path):
    line = '{{"chat_id": 1, "timestamp": {}, "input_length": 20, "output_length": 1, "hash_ids": [1, 2]}}\n'
    trace = read_trace(write(tmp_path, line.format(3) + line.format(5), "t.jsonl"))
    assert trace.arrival_s.tolist() == [0, 2]
    assert trace.block_tokens == 16


HEADER = "arrival_s,prompt_tokens,output_tokens\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("arrival_s,prompt_tokens\n0,1\n", "t.csv:1: there is no column of the output length; found arrival_s, prompt"),
        ("a,b\n1,2\n", "no column of the arrival time"),
        (HEADER + "0,5,5\n3,5,5\n2,5,5\n", "t.csv:4: earlier than the row above; found '2'"),
        (HEADER + "-1,5,5\n3,5,5\n", "t.csv:2: a negative time; found '-1'"),
        (HEADER + "0,5,5\nsoon,5,5\n", "t.csv:3: not a time; found 'soon'"),
        (HEADER + "0,5,5\nnan,5,5\n", "t.csv:3: not a time"),
        (HEADER + "0,5,0\n", "t.csv:2: output length of zero; found '0'; allowed: at least 1 token (leave failed"),
        (HEADER + "0,many,5\n", "t.csv:2: not a prompt length; found 'many'"),
        (HEADER + "0,2.5,5\n", "t.csv:2: not a prompt length; found '2.5'"),
        (HEADER + "0,-3,5\n", "t.csv:2: not a prompt length; found '-3'"),
        (HEADER + "0,5\n", "t.csv:2: not an output length; found ''"),
        (HEADER, "t.csv:1: the trace holds no request"),
        ("", "the trace is empty"),
        (b"\x1f\x8bnonsense", "gzip file is damaged"),
        (HEADER.encode() + b"0,\xff,1\n", "t.csv:2: the file is not UTF-8"),
        (
            '{"timestamp": 0, "input_length": 1, "output_length": 1}\nnot json\n',
            "t.csv:2: this line is not a JSON object",
        ),
        ('{"timestamp": 0, "input_length": true, "output_length": 1}\n', "t.csv:1: not a prompt length; found True"),
        ('{"timestamp": 0, "input_length": 1, "output_length": 1, "hash_ids": 3}\n', "t.csv:1: the block ids are not"),
    ],
)
def test_mistakes_have_their_line(tmp_path, text, words):
    assert words in message(tmp_path, text)


def test_every_mistake_at_once_in_order(tmp_path):
    lines = message(tmp_path, HEADER + "0,0,5\n2,5,x\n1,5,5\n").splitlines()
    assert [line.split(":")[1] for line in lines] == ["2", "3", "4"]


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'mooncake conversation'"):
        read_trace("moncake conversation")
    with pytest.raises(InputError, match="cannot be read"):
        read_trace("/")
