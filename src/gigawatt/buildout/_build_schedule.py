"""A build with its dates: how likely each is, what holds them up, and the chart of the plan.

    TaskNetwork -> sample_durations -> schedule -> BuildSchedule

Seconds from the start of the build. Shapes: S samples, K tasks.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.buildout._calendar import DAY
from gigawatt.buildout._critical_path import NO_SLACK_S, ScheduleSamples, schedule_tasks
from gigawatt.buildout._influence import Influence, delayed_s, influences, more_units_s
from gigawatt.buildout._sampling import sample_durations
from gigawatt.buildout._tasks import TaskNetwork
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.timeline import Timeline

Array = NDArray[np.float64]
QUANTILES = (0.1, 0.5, 0.9)


@dataclass(frozen=True, slots=True, kw_only=True)
class DateRange:
    """The 10 %, 50 % and 90 % points of a date, and its mean; seconds from the start of the build."""

    p10_s: float
    p50_s: float
    p90_s: float
    mean_s: float

    @classmethod
    def of(cls, values: Array) -> DateRange:
        """Return the range of samples (S,)."""
        p10, p50, p90 = np.quantile(values, QUANTILES).tolist()
        return cls(p10_s=p10, p50_s=p50, p90_s=p90, mean_s=float(values.mean()))

    def to_dict(self) -> dict[str, float]:
        """Return plain data for JSON."""
        return {"p10_s": self.p10_s, "p50_s": self.p50_s, "p90_s": self.p90_s, "mean_s": self.mean_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalPath:
    """A chain of tasks, first to last, each of which starts when the one before it has ended (or gives up its crew:
    `waits`), with its times in one typical sample; `share` of the samples have a chain of the same kinds of task.
    """

    tasks: tuple[str, ...]
    labels: tuple[str, ...]
    start_s: tuple[float, ...]
    end_s: tuple[float, ...]
    waits: tuple[bool, ...]
    share: float

    def __str__(self) -> str:
        words = [
            f"{'(when its crew is free) ' if waits else ''}{label} ({(end - start) / DAY:.0f} days)"
            for label, start, end, waits in zip(self.labels, self.start_s, self.end_s, self.waits, strict=True)
        ]
        return f"{', then '.join(words)}; in {self.share:.0%} of the samples the chain is of this kind"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "words": str(self),
            "share": self.share,
            "tasks": [
                {"task": task, "label": label, "start_s": start, "end_s": end, "waits": waits}
                for task, label, start, end, waits in zip(
                    self.tasks, self.labels, self.start_s, self.end_s, self.waits, strict=True
                )
            ],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class BuildSchedule:
    """The sampled schedule of a network: durations (S, K), their `samples`, and `plan`, the schedule of the best
    durations (one sample). The plan ends before the median: where paths join, the later one counts, and with luck on
    every path somebody is late (merge bias).
    """

    network: TaskNetwork
    durations_s: Array
    samples: ScheduleSamples
    plan: ScheduleSamples
    seed: int

    def reached_s(self, milestone: str = "") -> Array:
        """Return when a milestone or task is reached in every sample, (S,); "" is the end of all.

        Raises InputError for an unknown name.
        """
        return self.samples.reached_s(self._places(milestone))

    def date(self, milestone: str = "") -> DateRange:
        """Return the range of a milestone, or of the end of a task. Raises InputError for an unknown name."""
        return DateRange.of(self.reached_s(milestone))

    @property
    def milestones(self) -> dict[str, DateRange]:
        """The range of every milestone, in the order of the network."""
        return {name: self.date(name) for name in self.network.milestones}

    def probability(self, by_s: float, milestone: str = "") -> float:
        """Return the probability that a milestone is reached by a time. Raises InputError for an unknown name."""
        return float((self.reached_s(milestone) <= by_s).mean())

    def sensitivity(self, milestone: str = "") -> tuple[Influence, ...]:
        """Return which delay matters most to a milestone, the largest first. Raises InputError for an unknown name."""
        self._places(milestone)
        return influences(self.network, self.durations_s, self.samples, milestone)

    def delayed_s(self, name: str, delay_s: float, milestone: str = "") -> Array:
        """Return by how much a milestone moves in every sample, (S,), when a task or kind takes `delay_s` longer."""
        self._places(milestone)
        return delayed_s(self.network, self.durations_s, self.samples, name, delay_s, milestone)

    def more_units_s(self, resource: str, more: int = 1, milestone: str = "") -> Array:
        """Return by how much a milestone moves in every sample, (S,), with `more` units of a resource (below 0: sooner)."""
        self._places(milestone)
        return more_units_s(self.network, self.durations_s, self.samples, resource, more, milestone)

    def critical_path(self, milestone: str = "") -> CriticalPath:
        """Return the chain of tasks that most often holds a milestone up. Raises InputError for an unknown name.

        Chains are counted by kind of task, since which hall is late is luck; the tasks and durations are those of the
        sample whose date is closest to the median of the samples with the most frequent chain.
        """
        places = self._places(milestone)
        sort = [task.sort for task in self.network.tasks]
        chains = [[k for k in reversed(chain) if k >= 0] for chain in self.samples.chains(places).tolist()]
        kinds = [tuple(dict.fromkeys(sort[k] for k in chain)) for chain in chains]
        counts = Counter(kinds)
        usual = max(kinds, key=lambda chain: counts[chain])
        alike = np.flatnonzero([chain == usual for chain in kinds])
        date = self.samples.reached_s(places)[alike]
        sample = int(alike[np.argmin(np.abs(date - np.median(date)))])
        chain = chains[sample]
        tasks = [self.network.tasks[k] for k in chain]
        return CriticalPath(
            tasks=tuple(task.name for task in tasks),
            labels=tuple(task.label or task.name for task in tasks),
            start_s=tuple(self.samples.start_s[sample, chain].tolist()),
            end_s=tuple(self.samples.end_s[sample, chain].tolist()),
            waits=tuple(bool(self.samples.wait_s[sample, k] > 0.0) for k in chain),
            share=counts[usual] / len(kinds),
        )

    def timeline(self) -> Timeline:
        """Return the chart of the plan (best durations): a lane per task, labelled critical or with slack."""
        plan, tasks = self.plan, self.network.tasks
        rows = [
            (
                task.label or task.name,
                "critical" if plan.slack_s[0, k] < NO_SLACK_S else "with slack",
                float(plan.start_s[0, k]),
                float(plan.end_s[0, k]),
            )
            for k, task in enumerate(tasks)
        ]
        slack = np.median(self.samples.slack_s, axis=0) / DAY
        said = tuple(
            f"critical in {share:.0%} of the samples; median slack {days:.0f} days"
            for share, days in zip(self.samples.critical.tolist(), slack.tolist(), strict=True)
        )
        return Timeline.of(self.network.title, rows, said)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """The paths of the durations that were used (see `task_facts`)."""
        return tuple(dict.fromkeys(task.assumption for task in self.network.tasks if task.assumption))

    def tasks(self) -> list[dict[str, Any]]:
        """Return what is known of every task, one dictionary each, times in seconds."""
        samples = self.samples
        start, end, slack = (
            np.quantile(x, QUANTILES, axis=0) for x in (samples.start_s, samples.end_s, samples.slack_s)
        )
        wait = samples.wait_s.mean(axis=0)
        return [
            {
                "task": task.name,
                "label": task.label or task.name,
                "resource": task.resource,
                "units": task.units,
                **{f"start_p{p}_s": float(start[i, k]) for i, p in enumerate((10, 50, 90))},
                **{f"end_p{p}_s": float(end[i, k]) for i, p in enumerate((10, 50, 90))},
                "slack_p50_s": float(slack[1, k]),
                "wait_mean_s": float(wait[k]),
                "critical": float(samples.critical[k]),
            }
            for k, task in enumerate(self.network.tasks)
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "title": self.network.title,
            "samples": len(self.durations_s),
            "seed": self.seed,
            "milestones": {name: date.to_dict() for name, date in self.milestones.items()},
            "end": self.date().to_dict(),
            "plan_end_s": float(self.plan.total_s[0]),
            "critical_path": self.critical_path().to_dict(),
            "sensitivity": [influence.to_dict() for influence in self.sensitivity()],
            "tasks": self.tasks(),
            "network": self.network.to_dict(),
            "timeline": self.timeline().to_dict(),
        }

    def to_frame(self) -> Any:
        """Return the tasks as a pandas DataFrame, one row per task. Needs pandas."""
        import pandas as pd

        return pd.DataFrame(self.tasks())

    def _places(self, milestone: str) -> tuple[int, ...]:
        known: Sequence[str] = (*self.network.milestones, *self.network.names)
        if milestone and milestone not in known:
            raise InputError(
                Problem(
                    message="no milestone or task has this name",
                    path="milestone",
                    found=repr(milestone),
                    allowed=", ".join(self.network.milestones),
                    nearest=nearest_name(milestone, known),
                )
            )
        return self.network.milestone_tasks(milestone)


def build_schedule(
    network: TaskNetwork,
    samples: int = 1000,
    seed: int = 0,
    *,
    same_kind: float | None = None,
    same_trade: float | None = None,
) -> BuildSchedule:
    """Return the schedule of a network in `samples` samples. Networks with the same seed share the draws of tasks that
    share a name, so that two plans can be compared sample by sample.

    Raises ValueError as `sample_durations` does.
    """
    durations = sample_durations(network, samples, seed, same_kind=same_kind, same_trade=same_trade)
    return BuildSchedule(
        network=network,
        durations_s=durations,
        samples=schedule_tasks(network, durations),
        plan=schedule_tasks(network, network.best_s()),
        seed=seed,
    )
