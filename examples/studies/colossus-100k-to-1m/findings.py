"""The numbers of the study: searches of steps, goodput, useful tokens against fleet size, levers, sites.

The flow: scenario -> steps (search of the training engine) -> goodput (closed form and simulation) -> curve of useful
tokens per second -> levers -> sites. Everything returned is plain data for the page and its JSON twin. SI units.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from gigawatt.evidence import Sourced
from gigawatt.planning import train_scenario
from gigawatt.reliability import (
    LIMITS,
    RECOVERY_POLICIES,
    ExchangePolicy,
    FleetLimits,
    FleetSizes,
    ReliabilityJob,
    Site,
    SitesResult,
    TrainingRun,
    bytes_per_s_for,
    closed_shares,
    decoupled_diloco,
    default_operations,
    default_tiers,
    diloco,
    fibre_s,
    fleet_processes,
    goodput,
    largest_useful_fleet,
    network_size,
    policy_times,
    recovery_policy,
    scale_facts,
    site_facts,
    state_bytes,
    straggler_factor,
    streaming_diloco,
    synchronous,
    terms,
    token_penalty,
    train_across,
)
from gigawatt.scenario import load_scenario
from gigawatt.training import Evaluator, critical_batch_tokens

SCENARIO = Path(__file__).parents[2] / "colossus-1m.yaml"
SIZES = (100_000, 200_000, 500_000, 1_000_000)
GENERATION = "GB200"
DAY = 86_400.0
RUN_S = 90 * DAY  # of the simulated runs, and the deadline
ISLANDS = 8
POLICY_WORDS = {
    "restart": "restart",
    "neighbour_copy": "neighbour copy",
    "hot_spare": "hot spare",
    "drop_replica": "drop a replica",
    "elastic": "elastic",
    "islands": f"{ISLANDS} islands",
}
BATCHES = {"fixed at 64M": 64e6, "fixed at 256M": 256e6, "growing, 64M per 100,000": None}
GROWTH = 640.0  # tokens of the growing batch per accelerator
NODE, RACK = 4, 18  # a GB200 NVL72: trays of 4 accelerators, 18 of them in a rack
RADIX = 64
PLANES = (1, 2, 4, 8)
FOUR_OPTICS = 4.0  # transceivers per accelerator behind the published rate of cables and optics: three tiers
LEAST_RETURN = 0.1
INNER_STEPS = 100
ENOUGH = 0.95  # share of the time that the exchange should leave
HIDDEN = 0.25  # share of a step beside which gradients may travel between sites


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What a search found for one fleet and batch. `token_s` seconds of one accelerator per token, `fixed_s` seconds of
    a step that the batch does not change, of which `fill_s` fill the pipeline (without stragglers), `least_tokens` per accelerator that fill the pipeline.
    """

    asked: int
    used: int
    batch_tokens: float
    step_s: float
    low_s: float
    high_s: float
    parts: Mapping[str, float]
    strategy: Mapping[str, Any]
    mfu: float
    token_s: float
    fixed_s: float
    fill_s: float
    least_tokens: float
    jitter: float
    replica: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """Useful tokens per second against fleet size, the best strategy at each size; columns (C,)."""

    accelerators: np.ndarray
    useful: np.ndarray
    useful_low: np.ndarray
    useful_high: np.ndarray
    utilisation: np.ndarray
    batch_tokens: np.ndarray
    losses: Mapping[str, np.ndarray]
    gains: Mapping[str, np.ndarray]
    binding: Sequence[str]
    largest: float
    largest_low: float
    largest_high: float

    def at(self, accelerators: int) -> int:
        """Return the index of a fleet."""
        return int(np.searchsorted(self.accelerators, accelerators))


@dataclass(frozen=True, kw_only=True)
class Study:
    """The question with its settings; `per_decade` points of the curve, `replicates` of each simulation."""

    replicates: int = 40
    per_decade: int = 20
    seed: int = 1

    @cached_property
    def report(self) -> Any:
        """The scenario as it stands, for its model and inputs."""
        return train_scenario(load_scenario(SCENARIO))

    @cached_property
    def steps(self) -> dict[str, list[Step]]:
        """The search at every size, by batch."""
        return {name: [search_step(n, tokens or GROWTH * n) for n in SIZES] for name, tokens in BATCHES.items()}

    @cached_property
    def grid(self) -> np.ndarray:
        """Fleets of the curve, 10,000 to ten million, the four sizes among them."""
        grid = np.geomspace(1e4, 1e7, 3 * self.per_decade + 1).round()
        apart = np.min(np.abs(np.log(grid[:, None] / np.asarray(SIZES))), axis=1) > 0.4 * math.log(10) / self.per_decade
        return np.unique(np.concatenate([grid[apart], SIZES]))

    @property
    def parameters(self) -> float:
        """Of the model."""
        return float(self.report.inputs.value("model.parameters"))

    @property
    def tokens(self) -> float:
        """Of the run."""
        return float(self.report.inputs.value("training.tokens"))

    @property
    def critical(self) -> Sourced:
        """The critical batch of the run, with its range."""
        return critical_batch_tokens(self.tokens)

    def job(
        self,
        accelerators: int,
        policy: str,
        *,
        islands: int = ISLANDS,
        swapping: bool = False,
        spare_probability: float | None = None,
        spares: int | None = None,
        planes: int | None = None,
        corruption_detect_s: float | None = None,
        starts: bool = True,
    ) -> ReliabilityJob:
        """Return the job of a fleet. `swapping` islands recover by hot spares; without `starts` processes warm up in no time."""
        groups = islands if policy == "islands" else 1
        step = self.steps["fixed at 256M"][-1]
        times = recovery_policy(policy, accelerators // groups, step_s=step.step_s)
        if swapping:
            swap = recovery_policy("hot_spare", accelerators // groups)
            times = replace(swap, name="islands")
        if not starts:
            times = replace(times, warm_up_s=0.0)
        network = network_size(accelerators, link_bytes_per_s=1.0, radix=RADIX, planes=planes)
        optics = float(network.optics[0]) / accelerators / FOUR_OPTICS
        operations = default_operations()
        if spare_probability is not None:
            operations = replace(operations, spare_probability=spare_probability)
        if corruption_detect_s is not None:
            operations = replace(operations, corruption_detect_s=corruption_detect_s)
        return ReliabilityJob(
            accelerators=accelerators,
            processes=tuple(
                process.at(process.rate_per_s * optics) if process.component == "cable_optic" else process
                for process in fleet_processes(GENERATION)
            ),
            policy=times,
            accelerators_per_node=NODE,
            nodes_per_rack=RACK,
            replicas=max(accelerators // step.replica, 2),
            islands=groups,
            step_s=step.step_s,
            state_bytes=state_bytes(self.parameters, self.report.inputs.value("reliability.state_bytes_per_parameter")),
            tiers=default_tiers(),
            spare_nodes=spares,
            duration_s=RUN_S,
            operations=operations,
        )

    def curve(
        self,
        policy: str = "hot_spare",
        *,
        batch: Callable[[float], float] | None = None,
        critical: Sourced | None = None,
        planes: int | None = None,
        tokens_more: float = 0.0,
        **options: Any,
    ) -> Curve:
        """Return useful tokens per second of every fleet of the grid, at the best batch or at `batch` of its size.

        `tokens_more` is the share of extra tokens that islands cost. The start-up's part of what failures take is what
        the closed form gains without warming up.
        """
        counts = [int(n) for n in self.grid]
        jobs = [self.job(n, policy, planes=planes, **options) for n in counts]
        up = np.asarray([float(closed_shares(job)["useful"][0]) for job in jobs])
        warm = [self.job(n, policy, planes=planes, starts=False, **options) for n in counts]
        started = np.maximum([float(closed_shares(job)["useful"][0]) for job in warm], up)
        rate = np.asarray([terms(job).rate for job in jobs])
        start = np.log(np.maximum(started, 1e-290) / np.maximum(up, 1e-290))
        network = network_size(self.grid, link_bytes_per_s=1.0, radix=RADIX, planes=planes)
        facts = scale_facts()
        sync = facts["data_movement.sync_s"].best
        run = TrainingRun(
            tokens=self.tokens,
            layers=len(self.report.job.model.layers),
            critical_batch_tokens=critical or self.critical,
            deadline_s=RUN_S,
            syncs_per_layer=facts["data_movement.syncs_per_layer"].best,
        )
        syncs = run.syncs_per_layer * run.layers

        def limits(step: Step, rows: slice) -> dict[str, np.ndarray]:
            sizes = FleetSizes(
                accelerators=self.grid[rows],
                token_s=step.token_s,
                sync_s=sync + step.fill_s / syncs,
                exchange_s=max(step.fixed_s - step.fill_s - syncs * sync, 0.0),
                tokens_per_accelerator=step.least_tokens,
                jitter=step.jitter,
                failure_rate=rate[rows],
                start_s=start[rows] / rate[rows],
                goodput=np.minimum(started[rows], 1.0),
                hosts=network.hosts[rows],
            )
            asked = run if batch is None else replace(run, batch_tokens=batch(float(self.grid[rows][0])))
            return _columns(largest_useful_fleet(asked, sizes))

        # a batch of its own for each fleet is a question of its own for each fleet
        parts = [slice(None)] if batch is None else [slice(i, i + 1) for i in range(len(counts))]
        tried = [_joined([limits(step, rows) for rows in parts]) for step in self.strategies]
        best, columns = np.stack([each["useful"] for each in tried]).argmax(axis=0), np.arange(len(counts))

        def pick(name: str) -> np.ndarray:
            return np.asarray(np.stack([each[name] for each in tried])[best, columns])

        penalty = 1.0 + tokens_more
        # at the ends of the critical batch other strategies may be best
        low, high = (np.max([each[end] for each in tried], axis=0) / penalty for end in ("low", "high"))
        chosen = pick("useful") / penalty
        return Curve(
            accelerators=self.grid,
            useful=chosen,
            useful_low=low,
            useful_high=high,
            utilisation=pick("utilisation") / penalty,
            batch_tokens=pick("batch"),
            losses={name: pick(f"loss {name}") for name in LIMITS},
            gains={name: pick(f"gain {name}") for name in LIMITS},
            binding=[str(tried[row]["binding"][i]) for i, row in enumerate(best)],
            largest=largest_useful(self.grid, chosen),
            largest_low=largest_useful(self.grid, low),
            largest_high=largest_useful(self.grid, high),
        )

    @cached_property
    def strategies(self) -> list[Step]:
        """One search result per strategy shape that any size found best."""
        shapes = {
            tuple(
                step.strategy[key] for key in ("tensor_parallel", "pipeline_parallel", "virtual_stages", "recompute")
            ): step
            for steps in self.steps.values()
            for step in steps
        }
        return list(shapes.values())

    @cached_property
    def base(self) -> Curve:
        """Hot spares for 99 % of the time, one job, as many planes as it takes, the best batch at each size."""
        return self.curve()


def _columns(limits: FleetLimits) -> dict[str, np.ndarray]:
    """Return what the curve needs of a result, by name."""
    found = {
        "useful": limits.useful_tokens_per_s,
        "low": limits.useful_low,
        "high": limits.useful_high,
        "utilisation": limits.utilisation,
        "batch": limits.batch_tokens,
        "binding": np.asarray(limits.binding),
    }
    found |= {f"loss {name}": limits.losses[name] for name in LIMITS}
    return found | {f"gain {name}": limits.gains[name] for name in LIMITS}


def _joined(parts: Sequence[Mapping[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def largest_useful(accelerators: np.ndarray, useful: np.ndarray) -> float:
    """Return the last fleet that is worth more than any smaller one, where 1 % more accelerators have to bring at least
    0.1 % more useful tokens: the greatest of useful/n^0.1. 0 where none is of use.
    """
    return float(accelerators[np.argmax(useful / accelerators**LEAST_RETURN)]) if useful.max() > 0 else 0.0


def search_step(accelerators: int, batch_tokens: float) -> Step:
    """Return the best strategy of a fleet at a batch. A second batch, twice as large, tells what grows with it."""
    settings = [f"fleet.count={accelerators}", f"training.global_batch={batch_tokens:.0f} tokens"]
    report = train_scenario(load_scenario(SCENARIO, settings))
    job, result = report.job, report.result
    twice = replace(job, global_batch=2 * job.global_batch)
    twice_s = float(Evaluator(twice).evaluate(result.columns).step_s[0])
    parts = {part.label: part.value for part in result.step.children}
    slow = parts.get("stragglers", 0.0) / result.step_s
    z = float(straggler_factor(result.accelerators, 1.0)) - 1.0
    fixed_s = max(2.0 * result.step_s - twice_s, 0.0) * (1.0 - slow)
    strategy = dict(result.strategy)
    ranks = strategy["tensor_parallel"] * strategy["context_parallel"]
    return Step(
        asked=accelerators,
        used=result.accelerators,
        batch_tokens=float(job.tokens_per_step),
        step_s=result.step_s,
        low_s=report.interval[0],
        high_s=report.interval[1],
        parts=parts,
        strategy=strategy,
        mfu=result.mfu,
        token_s=(twice_s - result.step_s) * (1.0 - slow) / job.tokens_per_step * result.accelerators,
        fixed_s=fixed_s,
        fill_s=min(parts.get("pipeline bubble", 0.0) * (1.0 - slow), fixed_s),
        least_tokens=strategy["micro_batch"] * job.sequence / ranks,
        jitter=slow / (1.0 - slow) / z,
        replica=ranks * strategy["pipeline_parallel"],
    )


# what the page shows -------------------------------------------------------------------------------------------------


def goodput_rows(study: Study) -> list[dict[str, Any]]:
    """Return goodput of every size and policy, closed form and simulation."""
    rows = []
    for policy in RECOVERY_POLICIES:
        for n in SIZES:
            result = goodput(study.job(n, policy), replicates=study.replicates, seed=study.seed, workers=2)
            assert result.interval is not None
            low, middle, high = result.interval
            shares = {part.label: part.value / result.wall_time.value for part in result.wall_time.children}
            rows.append(
                {
                    "policy": policy,
                    "accelerators": n,
                    "closed_form": result.closed_goodput,
                    "simulated": result.goodput,
                    "p10": low,
                    "p50": middle,
                    "p90": high,
                    "mean_time_between_interruptions_s": result.mtbf_s,
                    "spare_nodes": result.spares,
                    "wall_time_shares": shares,
                    "warnings": list(result.warnings),
                }
            )
    return rows


def step_rows(study: Study) -> list[dict[str, Any]]:
    """Return the step at every size and batch with what it wastes."""
    critical = study.critical.best
    rows = []
    for name, steps in study.steps.items():
        for step in steps:
            rate = step.batch_tokens / step.step_s
            rows.append(
                {
                    "batch": name,
                    "accelerators": step.asked,
                    "used": step.used,
                    "batch_tokens": step.batch_tokens,
                    "step_s": step.step_s,
                    "step_low_s": step.low_s,
                    "step_high_s": step.high_s,
                    "tokens_per_s": rate,
                    "tokens_wasted": 1.0 - 1.0 / (1.0 + step.batch_tokens / critical),
                    "useful_tokens_per_s": rate / (1.0 + step.batch_tokens / critical),
                    "mfu": step.mfu,
                    "parts_s": dict(step.parts),
                    "strategy": dict(step.strategy),
                }
            )
    return rows


def fleet_rows(study: Study) -> dict[str, Any]:
    """Return the curve of every policy, the binding limits of the base, and the largest useful fleets."""
    curves = {name: study.base if name == "hot_spare" else study.curve(name) for name in RECOVERY_POLICIES}
    penalty = float(token_penalty(study.parameters, ISLANDS, INNER_STEPS))
    curves["islands"] = study.curve("islands", tokens_more=penalty)
    base = study.base
    return {
        "accelerators": base.accelerators.tolist(),
        "islands_token_penalty": penalty,
        "run_days": (study.tokens / base.useful / DAY).tolist(),
        "policies": {name: curve.useful.tolist() for name, curve in curves.items()},
        "largest_useful": {
            name: {"best": curve.largest, "low": curve.largest_low, "high": curve.largest_high}
            for name, curve in curves.items()
        },
        "useful_low": base.useful_low.tolist(),
        "useful_high": base.useful_high.tolist(),
        "batch_tokens": base.batch_tokens.tolist(),
        "utilisation": base.utilisation.tolist(),
        "losses": {name: values.tolist() for name, values in base.losses.items()},
        "binding": list(base.binding),
        "if_twice_as_good": {name: [float(values[base.at(n)]) for n in SIZES] for name, values in base.gains.items()},
        "binding_by_policy": {name: list(curve.binding) for name, curve in curves.items()},
    }


def lever_rows(study: Study) -> list[dict[str, Any]]:
    """Return what each lever, moved alone from the base, changes at every size and in the largest useful fleet."""
    critical = study.critical
    islands = {count: float(token_penalty(study.parameters, count, INNER_STEPS)) for count in (2, 8, 32, 128)}
    moves: list[tuple[str, str, Curve]] = [
        ("base", "hot spares, 99 %, one job, planes as needed, best batch", study.base)
    ]
    others = [name for name in RECOVERY_POLICIES if name not in ("hot_spare", "islands")]
    moves += [("policy", POLICY_WORDS[name], study.curve(name)) for name in others]
    moves.append(("spares", "none", study.curve(spares=0)))
    moves += [
        ("spares", f"enough for {100 * share:g} % of the time", study.curve(spare_probability=share))
        for share in (0.5, 0.9, 0.999, 0.9999)
    ]
    moves += [
        (
            "islands",
            f"{count} islands, {100 * extra:.1f} % more tokens",
            study.curve("islands", islands=count, swapping=True, tokens_more=extra),
        )
        for count, extra in islands.items()
    ]
    moves += [("network planes", f"{count} of radix {RADIX}", study.curve(planes=count)) for count in PLANES]
    moves += [
        ("silent corruption", f"found after {words} on average", study.curve(corruption_detect_s=seconds))
        for seconds, words in ((60.0, "a minute"), (600.0, "10 minutes"), (6 * 3600.0, "6 hours"))
    ]
    moves += [
        ("batch", "fixed at 64M tokens", study.curve(batch=lambda _: 64e6)),
        ("batch", "fixed at 256M tokens", study.curve(batch=lambda _: 256e6)),
        ("batch", "growing, 64M tokens per 100,000", study.curve(batch=lambda n: GROWTH * n)),
    ]
    for end in ("low", "high"):
        value = getattr(critical, end)
        words = f"critical batch {value / 1e6:,.0f}M ({end} end)"
        moves.append(("batch", words, study.curve(critical=critical.at(value))))
    rows = []
    for lever, setting, curve in moves:
        values = [float(curve.useful[curve.at(n)]) for n in SIZES]
        before = [float(study.base.useful[study.base.at(n)]) for n in SIZES]
        rows.append(
            {
                "lever": lever,
                "setting": setting,
                "useful_tokens_per_s": values,
                "gain": [value / old - 1.0 for value, old in zip(values, before, strict=True)],
                "largest_useful": curve.largest,
            }
        )
    return rows


def network_rows() -> list[dict[str, Any]]:
    """Return what one to eight planes of switches need at each size."""
    rows = []
    for planes in PLANES:
        size = network_size(np.asarray(SIZES, dtype=float), link_bytes_per_s=50e9, radix=RADIX, planes=planes)
        for i, n in enumerate(SIZES):
            fits = bool(size.fits[i])
            rows.append(
                {
                    "planes": planes,
                    "accelerators": n,
                    "fits": fits,
                    "hosts": float(size.hosts[i]),
                    "tiers": float(size.tiers[i]),
                    "switches": float(size.switches[i]) if fits else None,
                    "optics": float(size.optics[i]) if fits else None,
                }
            )
    return rows


LAYOUTS = {"two sites, 1,000 km apart": (2, 2_000e3), "23 sites on a loop of 4,800 km": (23, 4_800e3)}
LINKS_BITS_PER_S = tuple(float(rate) for rate in np.geomspace(1e12, 1e16, 17))


def exchange_policies() -> tuple[ExchangePolicy, ...]:
    """Return the ways to exchange that are compared."""
    return synchronous(), diloco(INNER_STEPS), streaming_diloco(INNER_STEPS), decoupled_diloco()


def across(study: Study, layout: str, policy: ExchangePolicy, link_bits_per_s: float) -> SitesResult:
    """Return a million accelerators in the sites of a layout, linked at a rate to each neighbour."""
    step = study.steps["fixed at 256M"][-1]
    count, around_m = LAYOUTS[layout]
    sites = [
        Site(
            name=f"site {i + 1}",
            accelerators=SIZES[-1] // count,
            tokens_per_s=step.batch_tokens / step.step_s / count,
            bytes_per_s=link_bits_per_s / 8.0,
            to_next_m=around_m / count,
        )
        for i in range(count)
    ]
    # who waits for the others stops with them; who does not loses its own time only
    job = study.job(SIZES[-1] if policy.waits else SIZES[-1] // count, "hot_spare")
    return train_across(
        sites,
        policy,
        parameters=study.parameters,
        tokens=study.tokens * (1.0 + step.batch_tokens / study.critical.best),
        batch_tokens=step.batch_tokens,
        hidden_s=HIDDEN * step.step_s if policy.inner_steps == 1 else 0.0,
        goodput=float(closed_shares(job)["useful"][0]),
        directions=2,
    )


def site_rows(study: Study) -> list[dict[str, Any]]:
    """Return a million accelerators in two and in 23 sites: the useful share against the rate of a link."""
    step = study.steps["fixed at 256M"][-1]
    rate = step.batch_tokens / step.step_s
    rows = []
    for layout, (count, around_m) in LAYOUTS.items():
        for policy in exchange_policies():
            found = [across(study, layout, policy, link) for link in LINKS_BITS_PER_S]
            needed = bytes_per_s_for(
                ENOUGH,
                parameters=study.parameters,
                sites=count,
                step_s=step.step_s,
                hop_s=fibre_s(around_m / count),
                inner_steps=policy.inner_steps,
                bits=policy.bits,
                fragments=policy.fragments,
                overlap_steps=policy.overlap_steps,
                hidden_s=HIDDEN * step.step_s if policy.inner_steps == 1 else 0.0,
                directions=2,
            )
            needed_bits = 8.0 * float(needed) / site_facts()["link.efficiency"].best
            rows.append(
                {
                    "layout": layout,
                    "sites": count,
                    "policy": policy.name,
                    "inner_steps": policy.inner_steps,
                    "bits": policy.bits,
                    "link_bits_per_s": list(LINKS_BITS_PER_S),
                    "useful_share": [result.useful_tokens_per_s / rate for result in found],
                    "exchange_efficiency": [float(result.efficiency) for result in found],
                    "run_days": [result.run_s / DAY for result in found],
                    "goodput": found[-1].goodput,
                    "needed_bits_per_s": needed_bits if math.isfinite(needed_bits) else None,
                    "average_bits_per_s": [float(result.exchange.average_bits_per_s) for result in found],
                    "token_penalty": found[-1].token_penalty.to_dict(),
                    "warnings": list(found[-1].warnings),
                }
            )
    return rows


def assumption_rows(study: Study) -> list[dict[str, Any]]:
    """Return the sourced inputs of the study with range and grade, estimates first."""
    critical = study.critical
    found: list[tuple[str, Sourced]] = [("critical batch, tokens", critical)]
    found += [(f"failures of {each.component} per {each.unit}", each.rate) for each in fleet_processes(GENERATION)]
    found += [(f"hot spare: {key}", value) for key, value in policy_times("hot_spare").items()]
    found += [(key, scale_facts()[key]) for key in ("data_movement.sync_s", "data_movement.syncs_per_layer")]
    found += list(site_facts().items())
    names = ("training.model_error", "reliability.state_bytes_per_parameter")
    found += [(name, study.report.inputs.assumptions[name]) for name in names]
    rows = [
        {"name": name, **{k: value.to_dict().get(k) for k in ("low", "best", "high", "unit", "grade", "source")}}
        for name, value in found
    ]
    return sorted(rows, key=lambda row: str(row["grade"]) != "estimate")


def findings(study: Study) -> dict[str, Any]:
    """Return everything that the study found, as plain data for JSON."""
    return {
        "question": "From 100,000 to a million accelerators that train one mixture of experts coherently: what breaks first, and what moves the limit?",
        "scenario": study.report.scenario.name,
        "model": {"name": study.report.job.model.name, "parameters": study.parameters, "tokens": study.tokens},
        "accelerator": study.report.job.chip.name,
        "sizes": list(SIZES),
        "replicates": study.replicates,
        "seed": study.seed,
        "critical_batch_tokens": {"low": study.critical.low, "best": study.critical.best, "high": study.critical.high},
        "goodput": goodput_rows(study),
        "steps": step_rows(study),
        "fleet": fleet_rows(study),
        "levers": lever_rows(study),
        "networks": network_rows(),
        "sites": site_rows(study),
        "assumptions": assumption_rows(study),
    }
