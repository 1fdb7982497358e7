"""What a check of a case with `engine: goodput` may refer to: the figures of a GoodputReport by path."""

from __future__ import annotations

import math
from collections.abc import Mapping

from gigawatt.evidence import Output
from gigawatt.planning import GoodputReport
from gigawatt.reliability import default_tiers


def goodput_values(report: GoodputReport) -> Mapping[str, Output]:
    """Return the figures of a report by path, each with its label and unit.

    Besides the times of the job: `interruptions.CAUSE.share` and `.rate` of every cause, of all `hardware` and of all
    `software`, `wall_time.CATEGORY` as fractions of the wall time, and `policies.POLICY`, the goodput under each.
    """
    job, result = report.job, report.result
    wall_s = result.wall_time.value
    values = {
        "goodput": Output(label="goodput", value=result.goodput, unit="fraction"),
        "mean_time_between_failures": Output(label="mean time between failures", value=result.mtbf_s, unit="s"),
        "useful_time": Output(label="the training without failures", value=report.useful_s, unit="s"),
        "checkpoint_interval": Output(label="work between checkpoints", value=result.interval_s, unit="s"),
        "checkpoint_save": Output(
            label="training stands still per checkpoint",
            value=result.outputs["reliability.checkpoint_save"].value,
            unit="s",
        ),
        "checkpoint_bytes": Output(label="checkpoint", value=job.state_bytes, unit="B"),
        "checkpoint_bytes_per_accelerator": Output(
            label="checkpoint per accelerator", value=job.state_bytes / job.accelerators, unit="B"
        ),
        "store_bytes_per_s": Output(
            label="writes to the store of checkpoints",
            value=(job.tiers or default_tiers()).remote_write_bytes_per_s,
            unit="B/s",
        ),
    }
    causes = report.causes()
    total = math.fsum(cause["mean"] for cause in causes)
    counts = {str(cause["cause"]): float(cause["mean"]) for cause in causes}
    for kind in ("hardware", "software"):
        counts[kind] = math.fsum(cause["mean"] for cause in causes if cause["kind"] == kind)
    values["interruptions.rate"] = Output(label="interruptions", value=total / wall_s, unit="1/s")
    values["interruptions.per_node"] = Output(
        label="hardware failures of a node", value=counts["hardware"] / wall_s / job.nodes, unit="1/s"
    )
    for name, count in counts.items():
        spoken = name.upper() if name in ("hbm", "nic") else name.replace("_", " ")
        values[f"interruptions.{name}.share"] = Output(
            label=f"interruptions by {spoken}", value=count / total if total else 0.0, unit="fraction"
        )
        values[f"interruptions.{name}.rate"] = Output(
            label=f"interruptions by {spoken}, rate", value=count / wall_s, unit="1/s"
        )
    for part in result.wall_time.children:
        values[f"wall_time.{part.label.replace(' ', '_')}"] = Output(
            label=f"wall time: {part.label}", value=part.value / wall_s, unit="fraction"
        )
    for row in report.policies:
        if row.result is not None:
            values[f"policies.{row.policy}"] = Output(
                label=f"goodput with policy {row.policy}", value=row.result.goodput, unit="fraction"
            )
    return values
