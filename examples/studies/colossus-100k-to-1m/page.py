"""The page of the study: conclusions in words and charts, from the findings alone. Computes nothing but shares for people."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from findings import ENOUGH, INNER_STEPS, ISLANDS, POLICY_WORDS, RADIX

from gigawatt import __version__
from gigawatt.quantity import format_quantity
from gigawatt.report import Line, Notes, Section, Table, bars_chart, lines_chart, page, shares_chart

LIMIT_WORDS = {
    "batch": "batch",
    "latency": "latency (pipeline fill)",
    "network": "network (gradient exchange, reach)",
    "stragglers": "stragglers",
    "failures": "failures",
    "start-up": "start-up after failures",
    "none": "none",
}
CRITICAL = "critical batch"  # rows that move an input, no lever
TICKS = (1e4, 2e4, 5e4, 1e5, 2e5, 5e5, 1e6, 2e6)
DRAWN = 2.9e6  # largest fleet of the charts; the tables go on
LEVERS = ("policy", "spares", "islands", "network planes", "batch", "silent corruption")
INPUT_WORDS = {
    "critical batch, tokens": "critical batch, in tokens",
    "data_movement.sync_s": "one exchange inside a layer",
    "data_movement.syncs_per_layer": "exchanges per layer",
    "penalty.per_site": "extra tokens per site beyond the first",
    "penalty.size_exponent": "extra tokens: power by which they fall with parameters",
    "penalty.inner_steps_exponent": "extra tokens: power by which they grow with inner steps",
    "penalty.reference_parameters": "extra tokens: parameters that they were measured at",
    "penalty.reference_inner_steps": "extra tokens: inner steps that they were measured at",
    "link.efficiency": "share of a link between sites that exchanges use",
    "training.model_error": "measured over predicted step time",
    "reliability.state_bytes_per_parameter": "state that a checkpoint saves per parameter",
}
STEP_PARTS = {
    "matrix products": "computing",
    "attention": "computing",
    "vector operations": "computing",
    "recompute": "recompute",
    "pipeline bubble": "pipeline fill",
    "tensor-parallel communication": "exchange in layers",
    "expert-parallel communication": "exchange in layers",
    "context-parallel communication": "exchange in layers",
    "pipeline sends": "exchange in layers",
    "data-parallel communication": "gradient exchange",
    "stragglers": "stragglers",
}


def html_of(found: Mapping[str, Any]) -> tuple[str, list[tuple[str, str]]]:
    """Return the page and its conclusions."""
    sentences = conclusions(found)
    model = found["model"]
    html = page(
        kind="study",
        title="Colossus: from 100,000 to a million accelerators",
        lead=found["question"],
        facts=f"{model['name']}, {big(model['parameters'])} parameters, {big(model['tokens'])} tokens · {found['accelerator']} · {found['replicates']} simulated runs of 90 days for each size and policy, seed {found['seed']}",
        sections=[
            Section(title="The answer", blocks=[Notes(items=sentences)]),
            goodput_section(found),
            step_section(found),
            fleet_section(found),
            lever_section(found),
            site_section(found),
            caveat_section(found),
        ],
        foot=[f"gigawatt {__version__}"],
    )
    return html, sentences


def big(value: float) -> str:
    """Return a count in words."""
    for size, word in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:.3g} {word}"
    return f"{float(f'{value:.3g}'):,.0f}"


def pct(share: float) -> str:
    """Return a share in per cent."""
    return f"{100.0 * share:.1f} %" if share >= 0.001 or share == 0 else "under 0.1 %"


def change(gain: float) -> str:
    """Return a relative change in per cent with its sign."""
    return f"{100.0 * gain:+.0f} %" if abs(gain) >= 0.005 else "0 %"


# the words ------------------------------------------------------------------------------------------------------------


def conclusions(found: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the numbers say, as pairs of what they are about and a sentence."""
    index = [found["fleet"]["accelerators"].index(n) for n in found["sizes"]]
    first, second = _what_breaks(found, index)
    levers, halves, doubt = _levers(found)
    sites = _sites(found)
    return [
        ("What breaks first", first),
        ("What breaks then", second),
        ("Best recovery", _policies(found)),
        ("The step", _batch(found)),
        ("Largest useful fleet", _largest(found["fleet"])),
        ("What moves the limit", levers),
        ("One limit twice as good", halves),
        ("Largest doubt", doubt),
        ("Network planes", _planes(found)),
        *(("Sites", sentence) for sentence in sites),
    ]


def _stretches(names: Sequence[str], sizes: Sequence[float]) -> list[tuple[str, float, float]]:
    """Return (name, first size, last size) of each stretch of equal names."""
    return [
        (name, group[0][1], group[-1][1])
        for name, group in ((n, list(g)) for n, g in groupby(zip(names, sizes, strict=True), key=lambda row: row[0]))
    ]


def _what_breaks(found: Mapping[str, Any], index: Sequence[int]) -> list[str]:
    fleet, sizes = found["fleet"], found["sizes"]
    limit, begins, _ = _stretches(fleet["binding_by_policy"]["restart"], fleet["accelerators"])[-1]
    shares = {n: goodput_of(found, "restart", n)["simulated"] for n in sizes}
    useless = [n for n in sizes if shares[n] < 0.5]
    first = f"With restarts from a checkpoint it is {LIMIT_WORDS[limit]}, which takes most from {big(begins)} accelerators on. Goodput is {', '.join(f'{pct(shares[n])} at {big(n)}' for n in sizes)}"
    if useless:
        first += f": from {big(useless[0])} on most of the time is lost"
    taken = []
    for i, n in zip(index, sizes, strict=True):
        name = fleet["binding"][i]
        share = fleet["losses"][name][i] if name in fleet["losses"] else 0.0
        taken.append(f"at {big(n)} {LIMIT_WORDS[name]}, {pct(share)}")
    stretches = _stretches(fleet["binding"], fleet["accelerators"])
    then = f"; {LIMIT_WORDS[stretches[-1][0]]} from {big(stretches[-1][1])} on" if len(stretches) > 1 else ""
    return [
        f"{first}.",
        f"With hot spares most of the accelerators' time goes to: {'; '.join(taken)}{then}.",
    ]


def goodput_of(found: Mapping[str, Any], policy: str, accelerators: int) -> Mapping[str, Any]:
    """Return the row of a policy and size."""
    return next(row for row in found["goodput"] if row["policy"] == policy and row["accelerators"] == accelerators)


def _policies(found: Mapping[str, Any]) -> str:
    words = []
    for n in found["sizes"]:
        best = max((row for row in found["goodput"] if row["accelerators"] == n), key=lambda row: row["simulated"])
        words.append((POLICY_WORDS[best["policy"]], f"{pct(best['simulated'])} at {big(n)}"))
    grouped = [(name, [text for _, text in group]) for name, group in groupby(words, key=lambda word: word[0])]
    top = found["sizes"][-1]
    row = goodput_of(found, "hot_spare", top)
    lost = {name: share for name, share in row["wall_time_shares"].items() if name != "useful"}
    worst = sorted(lost, key=lambda name: -lost[name])[:2]
    return f"By goodput alone: {'; '.join(f'{name}, {_and(texts)}' for name, texts in grouped)}. At {big(top)} something interrupts every {format_quantity(row['mean_time_between_interruptions_s'], 's')}; hot spares keep {pct(row['simulated'])} and lose most to {_and([f'{name} ({pct(lost[name])})' for name in worst])}."


def _and(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def _batch(found: Mapping[str, Any]) -> str:
    top = found["sizes"][-1]
    words = [
        f"a batch {row['batch']} keeps {big(row['used'])} at work, wastes {pct(row['tokens_wasted'])} of the tokens and does {big(row['useful_tokens_per_s'])} useful tokens per second"
        for row in found["steps"]
        if row["accelerators"] == top
    ]
    return f"With {big(top)} accelerators and no failures {'; '.join(words)}."


def _largest(fleet: Mapping[str, Any]) -> str:
    words = [
        f"{POLICY_WORDS[name]} {big(row['best'])} ({big(row['low'])} to {big(row['high'])})"
        for name, row in sorted(fleet["largest_useful"].items(), key=lambda item: item[1]["best"])
    ]
    return f"Beyond it 1 % more accelerators bring less than 0.1 % more useful tokens: {', '.join(words)}. The range is that of the critical batch alone."


def _levers(found: Mapping[str, Any]) -> tuple[str, str, str]:
    top, base = found["sizes"][-1], found["levers"][0]
    moved = [row for row in found["levers"][1:] if not row["setting"].startswith(CRITICAL)]
    ends = [row for row in found["levers"] if row["setting"].startswith(CRITICAL)]
    words = []
    for lever in LEVERS:
        rows = [row for row in moved if row["lever"] == lever]
        best, worst = (pick(rows, key=lambda row: row["gain"][-1]) for pick in (max, min))
        words.append(
            f"{lever} {change(worst['gain'][-1])} ({worst['setting']}) to {change(best['gain'][-1])} ({best['setting']})"
        )
    most = max(moved, key=lambda row: row["gain"][-1])
    halves = found["fleet"]["if_twice_as_good"]
    order = sorted(halves, key=lambda name: -halves[name][-1])
    return (
        f"In useful tokens per second at {big(top)}, against {base['setting']}: {'; '.join(words)}. With {most['setting']} the largest useful fleet goes from {big(base['largest_useful'])} to {big(most['largest_useful'])}.",
        f"At {big(top)} that brings: {', '.join(f'{LIMIT_WORDS[name]} {change(halves[name][-1])}' for name in order)}; the batch by a critical batch twice as large.",
        f"The range of the critical batch alone moves the useful tokens at {big(top)} by {_and([change(row['gain'][-1]) for row in ends])}.",
    )


def _planes(found: Mapping[str, Any]) -> str:
    holds = {row["planes"]: row["hosts"] for row in found["networks"]}
    gains = [row["gain"] for row in found["levers"] if row["lever"] == "network planes"]
    exist = max((gain for row in gains for gain in row if gain > -1), default=0.0)
    return f"They decide whether a size exists (three tiers of {RADIX}-port switches hold {', '.join(f'{big(hosts)} with {planes}' for planes, hosts in holds.items())}); where it does, more planes bring {change(exist)} at most."


def _sites(found: Mapping[str, Any]) -> list[str]:
    sentences = []
    for layout, group in groupby(found["sites"], key=lambda row: row["layout"]):
        words = [
            f"{row['policy']} {format_rate(row['needed_bits_per_s'])}, {pct(row['useful_share'][-1])}" for row in group
        ]
        sentences.append(
            f"A million accelerators in {layout}: rate to each neighbour at which exchanges leave {100 * ENOUGH:.0f} % of the time, and what is useful in all on an ample link: {'; '.join(words)}."
        )
    return sentences


def format_rate(bits_per_s: float | None) -> str:
    """Return bits per second in words."""
    if bits_per_s is None:
        return "no rate at all"
    for size, word in ((1e15, "Pb/s"), (1e12, "Tb/s"), (1e9, "Gb/s")):
        if bits_per_s >= size:
            return f"{bits_per_s / size:.3g} {word}"
    return f"{bits_per_s:.3g} b/s"


# the sections ---------------------------------------------------------------------------------------------------------


def goodput_section(found: Mapping[str, Any]) -> Section:
    """Return goodput by policy and size."""
    sizes, lines, table = found["sizes"], [], []
    for policy, words in POLICY_WORDS.items():
        rows = [goodput_of(found, policy, n) for n in sizes]
        lines.append(
            Line(
                label=words,
                points=[(row["accelerators"], 100 * row["closed_form"]) for row in rows],
                whiskers=[
                    (row["accelerators"], *(100 * row[key] for key in ("p10", "simulated", "p90"))) for row in rows
                ],
            )
        )
        table += [
            [
                words,
                f"{row['accelerators']:,}",
                pct(row["closed_form"]),
                pct(row["simulated"]),
                f"{pct(row['p10'])} – {pct(row['p90'])}",
                format_quantity(row["mean_time_between_interruptions_s"], "s"),
                f"{row['spare_nodes']:,}",
            ]
            for row in rows
        ]
    top = sizes[-1]
    shares = {POLICY_WORDS[p]: goodput_of(found, p, top)["wall_time_shares"] for p in POLICY_WORDS}
    parts = list(next(iter(shares.values())))
    return Section(
        title="1. Goodput: six ways to recover",
        blocks=[
            "Goodput is the share of the wall time that advances training. Two methods answer with the same numbers: a closed form, and an event simulation of every node.",
            lines_chart(
                "goodput",
                "Goodput against fleet size",
                "Lines: closed form. Circles with whiskers: mean and P10 to P90 of the simulated runs. Assumed: failure rates of H100 carried over to GB200 with 1.6 times the memory failures; spares that suffice 99 % of the time; each policy saves as often as is best for it.",
                lines,
                ticks=sizes,
                x_unit="accelerators",
                unit="% of wall time",
                columns=[
                    "policy",
                    "accelerators",
                    "closed form",
                    "simulation",
                    "P10 – P90",
                    "between interruptions",
                    "spare nodes",
                ],
                table=table,
            ),
            shares_chart(
                "wall_time",
                f"Where the wall time of {big(top)} goes",
                "Mean of the simulated runs. Replayed: work since the last save, or since a silent corruption that is found later, done again.",
                {name: {part: 100 * row[part] for part in parts} for name, row in shares.items()},
                unit="% of wall time",
                end=100,
                columns=["policy", *parts],
                table=[[name, *(pct(row[part]) for part in parts)] for name, row in shares.items()],
            ),
        ],
    )


def step_section(found: Mapping[str, Any]) -> Section:
    """Return the step at every size."""
    bars, table = {}, []
    for row in found["steps"]:
        idle = 1.0 - row["used"] / row["accelerators"]
        parts: dict[str, float] = {}
        for name, seconds in row["parts_s"].items():
            group = STEP_PARTS.get(name, "rest")
            parts[group] = parts.get(group, 0.0) + 100 * (1 - idle) * seconds / row["step_s"]
        bars[f"{row['batch'].partition(',')[0]}: {short(row['accelerators'])}"] = {
            **{name: parts.get(name, 0.0) for name in (*dict.fromkeys(STEP_PARTS.values()), "rest")},
            "idle": 100 * idle,
        }
        s = row["strategy"]
        table.append(
            [
                row["batch"],
                f"{row['accelerators']:,}",
                f"{row['used']:,}",
                f"{row['batch_tokens'] / 1e6:,.0f}M",
                f"{row['step_s']:.2f} s ({row['step_low_s']:.2f} – {row['step_high_s']:.2f})",
                f"{row['tokens_per_s'] / 1e6:,.1f}M",
                pct(row["tokens_wasted"]),
                f"{row['useful_tokens_per_s'] / 1e6:,.1f}M",
                pct(row["parts_s"].get("pipeline bubble", 0.0) / row["step_s"]),
                f"tensor {s['tensor_parallel']}, context {s['context_parallel']}, pipeline {s['pipeline_parallel']}, data {s['data_parallel']:,}, expert {s['expert_parallel']}, {s['micro_batches']} micro-batches",
            ]
        )
    critical = found["critical_batch_tokens"]
    return Section(
        title="2. The step: what a larger fleet does to it",
        blocks=[
            f"Every bar is the best of a full search of parallel strategies. A batch wastes tokens as B/(B + B_crit), where the critical batch is {critical['best'] / 1e6:,.0f}M tokens, of {critical['low'] / 1e6:,.0f}M to {critical['high'] / 1e6:,.0f}M: the fixed batch starves a large fleet, the growing one wastes tokens.",
            shares_chart(
                "steps",
                "Time of all accelerators in one step, without failures",
                "Idle: accelerators that no strategy can use at this batch. Assumed: 8,192 tokens a sequence, fp8, kernels and collectives as measured on smaller machines.",
                bars,
                unit="% of accelerator time",
                end=100,
                columns=[
                    "batch",
                    "accelerators",
                    "at work",
                    "tokens",
                    "step (range)",
                    "tokens/s",
                    "wasted",
                    "useful/s",
                    "pipeline fill",
                    "strategy",
                ],
                table=table,
            ),
        ],
    )


def short(count: float) -> str:
    """Return 100k or 1M."""
    return f"{count / 1e6:g}M" if count >= 1e6 else f"{count / 1e3:g}k"


def fleet_section(found: Mapping[str, Any]) -> Section:
    """Return useful tokens against fleet size and the limit that binds."""
    fleet = found["fleet"]
    sizes = fleet["accelerators"]

    def points(values: Sequence[float]) -> list[tuple[float, float]]:
        return [(n, value / 1e6) for n, value in zip(sizes, values, strict=True) if n <= DRAWN]

    bands = []
    stretches = _stretches(fleet["binding"], sizes)
    for i, (name, first, last) in enumerate(stretches):
        end = stretches[i + 1][1] if i + 1 < len(stretches) else last
        bands.append((first, min(end, max(n for n in sizes if n <= DRAWN)), f"{LIMIT_WORDS[name]}"))
    shown = [i for i, n in enumerate(sizes) if n in found["sizes"] or i % 6 == 0]
    policies = [
        Line(label=POLICY_WORDS[name], points=points(values), dashed=name != "hot_spare")
        for name, values in fleet["policies"].items()
    ]
    names = list(fleet["losses"])
    losses = {
        f"{n:,}": {
            "useful": 100 * fleet["utilisation"][sizes.index(n)],
            **{LIMIT_WORDS[name]: 100 * fleet["losses"][name][sizes.index(n)] for name in names},
        }
        for n in found["sizes"]
    }
    return Section(
        title="3. Useful tokens, the limit that binds, and the largest useful fleet",
        blocks=[
            "Useful tokens per second count neither tokens that the batch wastes nor time that failures take. The batch is the best one at each size, or the smallest that fills the pipeline where that is more.",
            lines_chart(
                "fleet",
                "Useful tokens per second against fleet size",
                f"Shaded: the limit that takes most under hot spares. Assumed: the strategies found in section 2 hold at other sizes; goodput in closed form; as many network planes as three tiers need; {ISLANDS} islands need {pct(fleet['islands_token_penalty'])} more tokens.",
                policies,
                x_unit="accelerators",
                unit="million useful tokens per second",
                bands=bands,
                ticks=TICKS,
                columns=[
                    "accelerators",
                    *(POLICY_WORDS[name] for name in fleet["policies"]),
                    "limit with hot spares",
                    "run with hot spares",
                ],
                table=[
                    [
                        f"{sizes[i]:,.0f}",
                        *(f"{values[i] / 1e6:.1f}M" for values in fleet["policies"].values()),
                        LIMIT_WORDS[fleet["binding"][i]],
                        f"{fleet['run_days'][i]:,.0f} days",
                    ]
                    for i in shown
                ],
            ),
            lines_chart(
                "critical",
                "The same under hot spares, at the ends of the critical batch",
                "Assumed: the critical batch grows with the data of a run as far smaller runs have shown; its ends are a factor of three to four either way.",
                [
                    Line(label="critical batch high", points=points(fleet["useful_high"]), dashed=True),
                    Line(label="best", points=points(fleet["policies"]["hot_spare"])),
                    Line(label="critical batch low", points=points(fleet["useful_low"]), dashed=True),
                ],
                ticks=TICKS,
                x_unit="accelerators",
                unit="million useful tokens per second",
                columns=["accelerators", "low", "best", "high", "batch, tokens"],
                table=[
                    [
                        f"{sizes[i]:,.0f}",
                        *(
                            f"{values[i] / 1e6:.1f}M"
                            for values in (fleet["useful_low"], fleet["policies"]["hot_spare"], fleet["useful_high"])
                        ),
                        f"{fleet['batch_tokens'][i] / 1e6:,.0f}M",
                    ]
                    for i in shown
                ],
            ),
            shares_chart(
                "losses",
                "What each limit takes under hot spares",
                "Of the tokens that the accelerators would do with no limit but their own computing. Tokens that the best batch wastes are laid on the limit that calls for it.",
                losses,
                unit="% of the ideal rate",
                end=100,
                columns=["accelerators", "useful", *(LIMIT_WORDS[name] for name in names)],
                table=[[n, *(f"{value:.1f} %" for value in row.values())] for n, row in losses.items()],
            ),
            Table(
                title="Largest useful fleet",
                columns=["policy", "best", "critical batch low", "critical batch high", "limit at that size"],
                rows=[
                    [
                        POLICY_WORDS[name],
                        f"{row['best']:,.0f}",
                        f"{row['low']:,.0f}",
                        f"{row['high']:,.0f}",
                        LIMIT_WORDS[fleet["binding_by_policy"][name][sizes.index(row["best"])]]
                        if row["best"] in sizes
                        else "none",
                    ]
                    for name, row in fleet["largest_useful"].items()
                ],
                caption="Beyond it 1 % more accelerators bring less than 0.1 % more useful tokens. Sizes are points of the curve, 12 % apart.",
            ),
        ],
    )


def lever_section(found: Mapping[str, Any]) -> Section:
    """Return what each lever is worth."""
    rows, sizes = found["levers"], found["sizes"]
    charts = []
    base = rows[0]
    for lever in LEVERS:
        mine = [base, *(row for row in rows if row["lever"] == lever)]
        charts.append(
            bars_chart(
                f"lever_{lever.replace(' ', '_')}",
                f"{lever.capitalize()}: useful tokens per second at {big(sizes[-1])}",
                f"This lever alone is moved. Base: {base['setting']}.",
                [
                    (
                        "base" if row is base else row["setting"],
                        row["useful_tokens_per_s"][-1] / 1e6,
                        f"{row['useful_tokens_per_s'][-1] / 1e6:.1f}M ({change(row['gain'][-1])})"
                        if row is not base
                        else f"{row['useful_tokens_per_s'][-1] / 1e6:.1f}M",
                        change(row["gain"][-1]),
                    )
                    for row in mine
                ],
                unit="million useful tokens per second",
                columns=["setting", *(f"at {short(n)}" for n in sizes), "largest useful fleet"],
                table=[
                    [row["setting"], *(change(gain) for gain in row["gain"]), f"{row['largest_useful']:,.0f}"]
                    for row in mine
                ],
            )
        )
    networks = found["networks"]
    largest = {row["planes"]: row["hosts"] for row in networks}
    holds = ", ".join(f"{hosts:,.0f} with {planes}" for planes, hosts in largest.items())
    return Section(
        title="4. What moves the limit",
        blocks=[
            f"Each lever is moved alone from {base['setting']}; the gain is in useful tokens per second. Islands recover by hot spares each and exchange every {INNER_STEPS} steps; the ends of the critical batch are no lever but the doubt about an input.",
            *charts,
            Table(
                title="All levers in one table",
                folded=True,
                columns=["lever", "setting", *(f"at {short(n)}" for n in sizes), "largest useful fleet"],
                rows=[
                    [
                        row["lever"],
                        row["setting"],
                        *(change(gain) for gain in row["gain"]),
                        f"{row['largest_useful']:,.0f}",
                    ]
                    for row in rows
                ],
            ),
            Table(
                title="Networks",
                columns=["planes of radix 64", "accelerators", "tiers", "switches", "transceivers"],
                rows=[
                    [
                        str(row["planes"]),
                        f"{row['accelerators']:,}",
                        f"{row['tiers']:.0f}" if row["fits"] else "too large",
                        f"{row['switches']:,.0f}" if row["fits"] else "–",
                        f"{row['optics']:,.0f}" if row["fits"] else "–",
                    ]
                    for row in networks
                ],
                caption=f"Three tiers hold {holds}. A plane takes a part of each port and of its rate. Failures of cables and optics are taken in proportion to the transceivers.",
            ),
        ],
    )


def site_section(found: Mapping[str, Any]) -> Section:
    """Return the runs over sites."""
    charts = []
    for number, (layout, group) in enumerate(groupby(found["sites"], key=lambda row: row["layout"]), 1):
        rows = list(group)
        links = rows[0]["link_bits_per_s"]
        shown = range(0, len(links), 4)
        charts.append(
            lines_chart(
                f"sites_{number}",
                f"A million accelerators in {layout}",
                "Useful share of the tokens that all sites process, after waiting for exchanges, failures and extra tokens. Assumed: hot spares in each site; synchronous gradients in 16 bit beside a quarter of the step; DiLoCo every 100 inner steps (decoupled: 60) with extra tokens extrapolated from far smaller models.",
                [
                    Line(
                        label=row["policy"],
                        points=[
                            (link / 1e12, 100 * share) for link, share in zip(links, row["useful_share"], strict=True)
                        ],
                    )
                    for row in rows
                ],
                x_unit="Tb/s from a site to a neighbour",
                unit="% useful",
                columns=[
                    "exchange",
                    *(f"at {format_rate(links[i])}" for i in shown),
                    "rate for 95 %",
                    "goodput",
                    "extra tokens (range)",
                ],
                table=[
                    [
                        row["policy"],
                        *(pct(row["useful_share"][i]) for i in shown),
                        format_rate(row["needed_bits_per_s"]),
                        pct(row["goodput"]),
                        f"{pct(row['token_penalty']['best'])} ({pct(row['token_penalty']['low'])} – {pct(row['token_penalty']['high'])})",
                    ]
                    for row in rows
                ],
            )
        )
    return Section(
        title="5. Many sites",
        blocks=[
            "Synchronous sites exchange all gradients in every step and stop together; so do DiLoCo and its streaming form at a failure. Decoupled DiLoCo lets a failed site fall behind alone.",
            *charts,
        ],
    )


def caveat_section(found: Mapping[str, Any]) -> Section:
    """Return what is assumed."""
    rows = found["assumptions"]
    apart = max(
        abs(row["simulated"] / row["closed_form"] - 1.0) for row in found["goodput"] if row["closed_form"] >= 0.1
    )
    estimates = sum(row["grade"] == "estimate" for row in rows)
    return Section(
        title="6. Caveats",
        blocks=[
            f"{estimates} of the {len(rows)} inputs below are estimates. The model is a question, not a claim about any announced one; no failure rates of GB200 are published.",
            "Failures are those of a fleet that is 180 days old in the middle of the run; spares do not fail while they wait; racks of 72 share a cooling loop but a failed tray stops one node of 4 alone. Islands are charged for extra tokens, not for a batch of their own; their exchange is taken as hidden. Small losses of quality from large batches are the law of the critical batch and nothing else.",
            f"The curve of section 3 takes goodput from the closed form. Where it leaves a tenth of the time or more, the simulation differs from it by up to {pct(apart)} of its value; the notes below say where and why.",
            Table(
                title="Inputs, estimates first",
                columns=["input", "best", "range", "unit", "grade", "source"],
                rows=[
                    [
                        input_words(row["name"]),
                        number(row["best"], row["unit"]),
                        f"{number(row['low'], row['unit'])} – {number(row['high'], row['unit'])}",
                        unit_words(row["unit"]),
                        str(row["grade"]),
                        row["source"],
                    ]
                    for row in rows
                ],
            ),
            Table(
                title="Where closed form and simulation differ, and what the runs warn of",
                columns=["policy", "accelerators", "note"],
                rows=[
                    [POLICY_WORDS[row["policy"]], f"{row['accelerators']:,}", note]
                    for row in found["goodput"]
                    for note in row["warnings"]
                ],
                folded=True,
            ),
        ],
    )


def input_words(name: str) -> str:
    """Return the name of an input as people say it."""
    words = INPUT_WORDS.get(name, name.replace("_", " "))
    return re.sub(r"\b(hbm|nic)\b", lambda found: found[0].upper(), words)


def number(value: float, unit: str) -> str:
    """Return an input in the unit of `unit_words`."""
    if unit == "1/s":
        value *= 86_400e3
    if unit == "s":
        return format_quantity(value, unit)
    return big(value) if value >= 1e3 else f"{value:.3g}"


def unit_words(unit: str) -> str:
    """Return the unit of an input as the table has it."""
    return {"1/s": "per 1,000 days", "s": ""}.get(unit, unit)
