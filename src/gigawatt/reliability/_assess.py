"""How much of the wall time advances training, and what the failures cost."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gigawatt.evidence import Breakdown, Output, outputs_frame
from gigawatt.reliability._formulas import (
    exact_efficiency,
    exact_interval,
    mean_time_between_failures,
    poisson_quantile,
)

ASSUMPTIONS = (
    "reliability.hardware_failure_rate",
    "reliability.software_failure_rate",
    "reliability.state_bytes_per_parameter",
    "reliability.device_to_host_bytes_per_s",
    "reliability.checkpoint_stop_s",
    "reliability.detect_s",
    "reliability.start_fixed_s",
    "reliability.start_per_accelerator_s",
    "reliability.hot_spare_restart_s",
    "reliability.hot_spare_save_s",
    "reliability.repair_s",
    "reliability.tray_accelerators",
)
SPARE_PROBABILITY = 0.99
POLICIES = ("restart", "hot_spare")


@dataclass(frozen=True, slots=True, kw_only=True)
class ReliabilityResult:
    """Failure rate, checkpoints and goodput of one job under one recovery policy."""

    policy: str
    mtbf_s: float
    interval_s: float
    save_s: float
    restart_s: float
    goodput: float
    spares: int
    wall_time: Breakdown
    outputs: Mapping[str, Output]
    warnings: tuple[str, ...]

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


def spares_needed(accelerators: int, values: Mapping[str, float], accelerators_per_server: int = 1) -> int:
    """Return the hot spares, in accelerators, that cover the servers under repair in 99 % of the time.

    A failed accelerator takes its whole server of `accelerators_per_server` out, so servers are counted (Poisson,
    docs/science.md 8.7).
    """
    mean = accelerators * values["reliability.hardware_failure_rate"] * values["reliability.repair_s"]
    return accelerators_per_server * poisson_quantile(mean, SPARE_PROBABILITY)


def assess(
    *,
    accelerators: int,
    parameters: float,
    values: Mapping[str, float],
    policy: str = "restart",
    interval_s: float | None = None,
    restart_s: float | None = None,
    spares: int = 0,
) -> ReliabilityResult:
    """Return the goodput of a job of `accelerators` that trains `parameters`, by closed form, valid up to millions.

    `values` holds the ASSUMPTIONS in SI units. `policy` is "restart" (whole job from a checkpoint) or "hot_spare"
    (swap the failed part and fetch its state from a neighbour). `interval_s` (useful work between saves) and
    `restart_s` override the optimum and the estimate. Raises KeyError for a missing assumption and ValueError for an
    unknown policy.
    """
    if policy not in POLICIES:
        raise ValueError(f"unknown policy {policy!r}")
    v = {path.partition(".")[2]: values[path] for path in ASSUMPTIONS}
    mtbf = float(mean_time_between_failures(accelerators, v["hardware_failure_rate"], v["software_failure_rate"]))
    copied = parameters * v["state_bytes_per_parameter"]
    save = copied / accelerators / v["device_to_host_bytes_per_s"] + v["checkpoint_stop_s"]
    start = v["start_fixed_s"] + v["start_per_accelerator_s"] * accelerators
    restart = restart_s if restart_s is not None else v["detect_s"] + start
    swap, swap_save = v["hot_spare_restart_s"], v["hot_spare_save_s"]
    hot_tau = float(exact_interval(swap_save, mtbf))
    hot = float(exact_efficiency(hot_tau, swap_save, swap, mtbf))
    whole_tau = interval_s or float(exact_interval(save, mtbf))
    whole = float(exact_efficiency(whole_tau, save, restart, mtbf))
    chosen = (whole_tau, save, restart, whole) if policy == "restart" else (interval_s or hot_tau, swap_save, swap, hot)
    if policy == "hot_spare" and interval_s:
        chosen = (interval_s, swap_save, swap, float(exact_efficiency(interval_s, swap_save, swap, mtbf)))
    tau, chosen_save, chosen_restart, goodput = chosen
    notes = []
    if policy == "restart" and goodput < 0.5:
        notes.append(
            f"restarting the whole job at every failure leaves {goodput:.1%} of {accelerators:,} accelerators' time; hot spares would leave {hot:.0%} (reliability.policy: hot_spare)"
        )
    outputs = _outputs(
        mtbf, copied, save, whole_tau, restart, whole, hot, restart_s is not None, interval_s is not None
    )
    outputs["reliability.goodput"] = Output(
        label=f"goodput ({'whole-job restart' if policy == 'restart' else 'hot spares'})",
        value=goodput,
        unit="fraction",
        formula="chosen",
        inputs={"chosen": "reliability.restart_goodput" if policy == "restart" else "reliability.hot_spare_goodput"},
    )
    if policy == "hot_spare" and interval_s:
        outputs["reliability.goodput"] = Output(
            label="goodput (hot spares)",
            value=goodput,
            unit="fraction",
            method="exact efficiency at the given checkpoint interval",
            inputs={"mtbf": "reliability.mean_time_between_failures"},
        )
    outputs["reliability.spares"] = Output(
        label="hot spares",
        value=float(spares),
        unit="",
        method="spares that cover 99 % of repair times (Poisson), or as given",
        inputs={
            "rate": "reliability.hardware_failure_rate",
            "repair": "reliability.repair_s",
            "tray": "reliability.tray_accelerators",
        },
    )
    return ReliabilityResult(
        policy=policy,
        mtbf_s=mtbf,
        interval_s=tau,
        save_s=chosen_save,
        restart_s=chosen_restart,
        goodput=goodput,
        spares=spares,
        wall_time=_wall_time(goodput, tau, chosen_save, chosen_restart, mtbf),
        outputs=outputs,
        warnings=tuple(notes),
    )


def _wall_time(goodput: float, tau: float, save: float, restart: float, mtbf: float) -> Breakdown:
    """Return the shares of wall time: useful, saving, restarting, and work done twice (the rest).

    A restart begins at every failure and lasts R or until the next failure, M*(1 - exp(-R/M)) on average, so restarting
    takes exactly 1 - exp(-R/M) of the time.
    """
    saving = goodput * save / tau if tau else 0.0
    restarting = -math.expm1(-restart / mtbf)
    return Breakdown.of(
        "wall time",
        "fraction",
        {
            "training": goodput,
            "saving": saving,
            "restarting": restarting,
            "work done twice": max(1.0 - goodput - saving - restarting, 0.0),
        },
    )


def _outputs(
    mtbf: float,
    copied: float,
    save: float,
    tau: float,
    restart: float,
    whole: float,
    hot: float,
    restart_given: bool,
    interval_given: bool,
) -> dict[str, Output]:
    hardware, software = "reliability.hardware_failure_rate", "reliability.software_failure_rate"
    used, between = "training.accelerators_used", "reliability.mean_time_between_failures"
    return {
        "reliability.failure_rate": Output(
            label="interruptions of the job",
            value=1.0 / mtbf,
            unit="1/s",
            formula="accelerators * hardware + software",
            inputs={"accelerators": used, "hardware": hardware, "software": software},
        ),
        between: Output(
            label="mean time between failures",
            value=mtbf,
            unit="s",
            formula="1 / rate",
            inputs={"rate": "reliability.failure_rate"},
        ),
        "reliability.checkpoint_bytes": Output(
            label="checkpoint",
            value=copied,
            unit="B",
            formula="parameters * state",
            inputs={"parameters": "model.parameters", "state": "reliability.state_bytes_per_parameter"},
        ),
        "reliability.checkpoint_save": Output(
            label="training stands still per checkpoint",
            value=save,
            unit="s",
            formula="size / accelerators / copy + stop",
            inputs={
                "size": "reliability.checkpoint_bytes",
                "accelerators": used,
                "copy": "reliability.device_to_host_bytes_per_s",
                "stop": "reliability.checkpoint_stop_s",
            },
        ),
        "reliability.checkpoint_interval": Output(
            label="work between checkpoints",
            value=tau,
            unit="s",
            method="as given"
            if interval_given
            else "maximises the exact efficiency: x + exp(-x) = 1 + save/M, interval = M x - save (Daly 2006)",
            inputs={"save": "reliability.checkpoint_save", "M": between},
        ),
        "reliability.restart": Output(
            label="time to restart the whole job",
            value=restart,
            unit="s",
            formula="" if restart_given else "detect + fixed + growth * accelerators",
            method="as given" if restart_given else "",
            inputs={}
            if restart_given
            else {
                "detect": "reliability.detect_s",
                "fixed": "reliability.start_fixed_s",
                "growth": "reliability.start_per_accelerator_s",
                "accelerators": used,
            },
        ),
        "reliability.restart_goodput": Output(
            label="goodput with whole-job restart",
            value=whole,
            unit="fraction",
            formula="interval / M * exp(-min(restart / M, 700)) / expm1(min((interval + save) / M, 700))",
            inputs={
                "interval": "reliability.checkpoint_interval",
                "M": between,
                "restart": "reliability.restart",
                "save": "reliability.checkpoint_save",
            },
        ),
        "reliability.hot_spare_goodput": Output(
            label="goodput with hot spares",
            value=hot,
            unit="fraction",
            method="the same closed form with the times of a hot-spare swap at its own best interval",
            inputs={"M": between, "restart": "reliability.hot_spare_restart_s", "save": "reliability.hot_spare_save_s"},
        ),
    }
