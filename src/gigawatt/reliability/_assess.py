"""Goodput of a job as numbers of a plan, in closed form: every one names what it was made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gigawatt.evidence import Breakdown, Output, outputs_frame
from gigawatt.reliability._assumptions import HARDWARE_RATE, PREFIX, REPAIR, SOFTWARE_RATE
from gigawatt.reliability._closed import CATEGORIES, closed_shares
from gigawatt.reliability._job import ReliabilityJob
from gigawatt.reliability._policies import KEPT, POLICY_WORDS, REFERENCE_ACCELERATORS, policy_times
from gigawatt.reliability._start import FIXED, PER_ACCELERATOR
from gigawatt.reliability._terms import Terms, terms

MTBF = f"{PREFIX}mean_time_between_failures"
RATE = f"{PREFIX}failure_rate"
USED = "training.accelerators_used"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityResult:
    """Failure rate, checkpoints and goodput of one job under one recovery policy, without curves or a simulation
    (`GoodputResult`). `wall_time` are shares by CATEGORIES.
    """

    policy: str
    mtbf_s: float
    interval_s: float
    save_s: float
    restart_s: float
    goodput: float
    spare_nodes: int
    islands: int
    wall_time: Breakdown
    outputs: Mapping[str, Output]
    warnings: tuple[str, ...] = ()

    @property
    def waiting(self) -> float:
        """Share of the wall time in which the job waits for spare nodes."""
        return next(part.value for part in self.wall_time.children if part.label == "waiting for spares")

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "policy": self.policy,
            "wall_time": self.wall_time.to_dict(),
            "warnings": list(self.warnings),
            "outputs": {path: output.to_dict() for path, output in self.outputs.items()},
        }

    def to_frame(self) -> Any:
        """Return the outputs as a pandas DataFrame. Needs pandas."""
        return outputs_frame(self.outputs)


def assess(job: ReliabilityJob) -> ReliabilityResult:
    """Return the goodput of a job by closed form, valid up to millions of accelerators (docs/science.md 8.4, 8.11)."""
    t = terms(job)
    shares = {name: float(value[0]) for name, value in closed_shares(job, t).items()}
    return ReliabilityResult(
        policy=job.policy.name,
        mtbf_s=1.0 / t.rate if t.rate > 0 else math.inf,
        interval_s=t.interval_s,
        save_s=t.save_s,
        restart_s=t.restart_s,
        goodput=shares["useful"],
        spare_nodes=t.spares,
        islands=job.islands,
        wall_time=Breakdown.of("wall time", "fraction", {name: shares[name] for name in CATEGORIES}),
        outputs=job_outputs(job, t, shares["useful"]),
        warnings=late_uploads(t),
    )


def late_uploads(t: Terms) -> tuple[str, ...]:
    """Return a note where uploads set the interval."""
    if t.lag_s <= t.wanted_interval_s:
        return ()
    return (
        f"the upload of a checkpoint takes {t.lag_s:,.0f} s, longer than the {t.wanted_interval_s:,.0f} s between saves that were wanted, so the interval grows to {t.interval_s:,.0f} s; a faster store would shorten it",
    )


def job_outputs(job: ReliabilityJob, t: Terms, goodput: float, method: str = "closed form") -> dict[str, Output]:
    """Return the numbers of a job; `goodput` came about by `method`."""
    rates = {"accelerators": USED, "hardware": HARDWARE_RATE, "software": SOFTWARE_RATE}
    outputs = {
        RATE: Output(
            label="interruptions of the job",
            value=t.rate,
            unit="1/s",
            method="units times rates, summed over components",
            inputs=rates,
        ),
        f"{PREFIX}checkpoint_bytes": Output(
            label="checkpoint",
            value=job.state_bytes,
            unit="B",
            formula="parameters * state",
            inputs={"parameters": "model.parameters", "state": f"{PREFIX}state_bytes_per_parameter"},
        ),
        f"{PREFIX}checkpoint_save": _save(job, t),
        f"{PREFIX}upload": Output(
            label="a save is on its way for",
            value=t.lag_s,
            unit="s",
            method=f"the state over the bandwidth of the {job.policy.tier} tier, beside training",
            inputs={"size": f"{PREFIX}checkpoint_bytes", "rate": _bandwidth(job, "write")},
        ),
        f"{PREFIX}checkpoint_interval": Output(
            label="work between checkpoints",
            value=t.interval_s,
            unit="s",
            method="as given, not below the upload"
            if job.interval_s is not None
            else "maximises the exact efficiency: x + exp(-x) = 1 + save/M, interval = M x - save (Daly 2006); not below the upload",
            inputs={"save": f"{PREFIX}checkpoint_save", "rate": RATE, "upload": f"{PREFIX}upload"},
        ),
        f"{PREFIX}fetch": Output(
            label="the state comes back in",
            value=job.reload_of(job.policy.tier),
            unit="s",
            method=f"the state over the bandwidth of the {job.policy.tier} tier, and to the devices"
            if job.reload_s is None
            else "in the restart as given",
            inputs={}
            if job.reload_s is not None
            else {"size": f"{PREFIX}checkpoint_bytes", "rate": _bandwidth(job, "read")},
        ),
        f"{PREFIX}restart": _restart(job, t),
        f"{PREFIX}nodes_out": Output(
            label="nodes under repair, mean",
            value=t.out_mean,
            method="nodes that leave per time, by component, times their repair",
            inputs={"rate": HARDWARE_RATE, "repair": REPAIR},
        ),
        f"{PREFIX}spare_nodes": Output(
            label="spare nodes",
            value=float(t.spares),
            method="as given"
            if job.spare_nodes is not None
            else "compound Poisson quantile of the nodes under repair (docs/science.md 8.12)",
            inputs={}
            if job.spare_nodes is not None
            else {"out": f"{PREFIX}nodes_out", "share": f"{PREFIX}spare_probability"},
        ),
        f"{PREFIX}goodput": Output(
            label=f"goodput ({POLICY_WORDS[job.policy.name]})",
            value=goodput,
            unit="fraction",
            method=f"{method} of failures, saves and recovery (docs/science.md 8.4, 8.11)",
            inputs={
                "rate": RATE,
                "interval": f"{PREFIX}checkpoint_interval",
                "save": f"{PREFIX}checkpoint_save",
                "stop": f"{PREFIX}restart",
                "spares": f"{PREFIX}spare_nodes",
                **{name: PREFIX + name for name in _SMALL},
            },
        ),
    }
    if t.rate > 0:
        outputs[MTBF] = Output(
            label="mean time between failures", value=1.0 / t.rate, unit="s", formula="1 / rate", inputs={"rate": RATE}
        )
    return outputs


# What enters the goodput to first order.
_SMALL = (
    "corruption_detect_s",
    "fallback_interval_s",
    "straggler_rate_per_s",
    "straggler_slowdown",
    "straggler_detect_s",
)


def _save(job: ReliabilityJob, t: Terms) -> Output:
    label, given = "training stands still per checkpoint", job.save_s is not None or bool(job.outer_steps)
    if given or job.tiers is None:
        return Output(label=label, value=t.save_s, unit="s", method="as given, with the exchange of islands")
    stop = "neighbour_stop_s" if job.policy.tier == "peer" else "checkpoint_stop_s"
    return Output(
        label=label,
        value=t.save_s,
        unit="s",
        formula=f"size / {max(job.accelerators // job.groups, 1)} / copy + stop",
        inputs={
            "size": f"{PREFIX}checkpoint_bytes",
            "copy": f"{PREFIX}device_to_host_bytes_per_s",
            "stop": PREFIX + stop,
        },
    )


def _restart(job: ReliabilityJob, t: Terms) -> Output:
    """The stop that goes back to a checkpoint; the parts of it that a policy has."""
    label = "stop that goes back to a checkpoint, mean"
    if job.reload_s is not None:
        return Output(label=label, value=t.restart_s, unit="s", method="as given")
    group = max(job.accelerators // job.groups, 1)
    parts = ["detect", "drain", "remap", "reload", "fetch"]
    inputs = {part: f"{PREFIX}{part}_s" for part in parts[:-1]} | {"fetch": f"{PREFIX}fetch"}
    formula = " + ".join(parts)
    if "warm_up" in policy_times(job.policy.name):
        inputs |= {"warm_up": f"{PREFIX}warm_up_s", "growth": f"{PREFIX}warm_up_growth"}
        own = f"warm_up * {max(group / REFERENCE_ACCELERATORS, 1.0)!r} ** growth"
        formula += f" + {own}"
        if job.policy.name in KEPT and t.whole_rate > 0:  # the share of software, after which all starts anew
            anew = math.fsum(job.rate_of(p) for p in job.processes if p.domain == "job") / t.whole_rate
            inputs |= {"fixed": FIXED, "each": PER_ACCELERATOR}
            formula += f" - log(1 + {anew!r} * expm1(({own} - fixed - each * {group}) * rate)) / rate"
            inputs["rate"] = RATE
    else:
        inputs |= {"fixed": FIXED, "each": PER_ACCELERATOR}
        formula += f" + fixed + each * {group}"
    if t.replay_s:
        formula += " + replay * step"
        inputs |= {"replay": f"{PREFIX}replay_steps", "step": "training.step_time"}
    return Output(label=label, value=t.restart_s, unit="s", formula=formula, inputs=inputs)


def _bandwidth(job: ReliabilityJob, way: str) -> str:
    tier = job.policy.tier
    return f"{PREFIX}{tier}_{way + '_' if tier == 'remote' else ''}bytes_per_s"
