"""What happens to a site as records, and the cheapest mix of measures and a store that complies.

    Mitigated -> event_set() -> size_battery() -> Mix; best_mix() tries every combination

Watts, joules, seconds, USD.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt.power._loads import FlatLoad, JobLoad
from gigawatt.power._mitigation import Measure, Mitigated, SiteLoad, mitigated
from gigawatt.power._requirements import Requirements
from gigawatt.power._storage import FILTERS_S, YEAR, Economics, LoadEvent, Sizing, Technology, size_battery
from gigawatt.power._waveform import joined, waveform
from gigawatt.power._wear import mitigation_facts
from gigawatt.timeline import Timeline


def event_set(state: Mitigated, settle_s: float, step_s: float = 0.1, lead_s: float = 60.0) -> tuple[LoadEvent, ...]:
    """Return the records of what happens to the site: start, stop, crash with restart, checkpoint, and steady steps.

    Each begins at least `lead_s` before and ends `settle_s` after; ramp limits need about swing/limit of it.
    """
    site, job = state.site, state.site.job
    long = max(settle_s, job.start_s + settle_s, job.stop_s + settle_s)
    lead_s = max(lead_s, long / 8.0)  # what is settled before an event is read off the first tenth of its record
    back = lead_s + site.checkpoint_s
    again = lead_s + max(site.outage_s, state.crash_stop_s)
    stories: dict[str, tuple[list[tuple[str, float, float]], float]] = {
        "start": ([("training", lead_s, lead_s + long)], lead_s + long),
        "stop": ([("training", -lead_s, lead_s)], lead_s + long),
        "crash": (
            [("training", -lead_s, lead_s), ("detection", lead_s, again), ("training", again, again + long)],
            again + long,
        ),
        "checkpoint": (
            [("training", -lead_s, lead_s), ("checkpoint stall", lead_s, back), ("training", back, back + settle_s)],
            back + settle_s,
        ),
        "steps": ([("training", -lead_s, 2 * lead_s)], 2 * lead_s),
    }
    events = []
    for name, (rows, duration) in stories.items():
        timeline = Timeline.of(name, [("job", label, begin, end) for label, begin, end in rows])
        under = job if name in ("start", "crash") else replace(job, start_s=0.0)
        under = replace(under, events=timeline, stop_s=state.crash_stop_s if name == "crash" else job.stop_s)
        if name == "crash":  # the first run is long under way
            under = replace(under, events=_shifted(timeline, -10.0 * job.start_s))
        record = joined(waveform([under, FlatLoad(power_w=np.array([site.base_w]))], duration, step_s))
        per_year = site.per_year.get(name, site.running_share * YEAR / duration if name == "steps" else 0.0)
        events.append(LoadEvent(name=name, power_w=record.power_w, step_s=step_s, per_year=per_year))
    return tuple(events)


def _shifted(timeline: Timeline, first_s: float) -> Timeline:
    """Return the timeline with its first interval begun earlier, at `first_s`, where that is earlier."""
    start = timeline.start_s.copy()
    start[0] = min(start[0], first_s)
    return replace(timeline, start_s=start)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mix:
    """Measures with the store that makes them comply. `usd_per_year` is for everything."""

    state: Mitigated
    sizing: Sizing
    usd_per_year: float

    @property
    def complies(self) -> bool:
        """Whether the grid sees what it asks for."""
        return self.sizing.complies

    @property
    def label(self) -> str:
        """The measures in words."""
        words = [str(measure) for measure in self.state.measures]
        if self.sizing.power_w > 0.0:
            words.append(f"{self.sizing.technology.name} {self.sizing.power_w / 1e6:.3g} MW")
        return ", ".join(words) or "nothing"

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "label": self.label,
            "complies": self.complies,
            "usd_per_year": self.usd_per_year,
            "extra_w": self.state.extra_w,
            "capital_usd": self.state.capital_usd + self.sizing.capital_usd,
            "lost_throughput": self.state.lost_throughput,
            "store": self.sizing.to_dict(),
        }


def best_mix(
    site: SiteLoad,
    requirements: Requirements,
    options: Sequence[Sequence[Measure]],
    technologies: Sequence[Technology],
    *,
    contract_w: float | None = None,
    economics: Economics | None = None,
    settle_s: float = 300.0,
    step_s: float = 0.1,
    filters_s: Sequence[float] = FILTERS_S,
) -> tuple[Mix, ...]:
    """Return every mix of at most one measure of each of `options` with the best store, cheapest that complies first.

    Each measure alone and none at all are among them; those that do not comply come last. The search is exhaustive:
    the product of (1 + levels) over the options.
    """
    money = economics or Economics.packaged()
    mixes = []
    for choice in itertools.product(*([None, *levels] for levels in options)):
        state = mitigated(site, [measure for measure in choice if measure is not None])
        events = event_set(state, settle_s, step_s)
        sizings = [
            size_battery(events, requirements, technology, contract_w=contract_w, economics=money, filters_s=filters_s)
            for technology in technologies
        ]
        sizing = min(sizings, key=lambda found: (not found.complies, found.usd_per_year))
        total = sizing.usd_per_year + state.usd_per_year(money)
        mixes.append(Mix(state=state, sizing=sizing, usd_per_year=total))
    return tuple(sorted(mixes, key=lambda mix: (not mix.complies, mix.usd_per_year)))


def default_options(job: JobLoad, ramp_w_per_s: float) -> tuple[tuple[Measure, ...], ...]:
    """Return levels to try: floors, ballast, storing power supplies, a start and a fall at the ramp limit."""
    facts = mitigation_facts()
    idle = job.overhead * job.count * job.idle_w
    seconds = math.ceil(max(0.0, job.step().power_w.max() - idle) / ramp_w_per_s * 1.05)
    return (
        (Measure(kind="floor", level=0.5), Measure(kind="floor", level=facts["floor.highest"].best)),
        (Measure(kind="ballast", level=0.7),),
        (Measure(kind="storage", level=facts["psu.energy_per_accelerator"].best),),
        (Measure(kind="ramp", level=float(seconds)),),
        (Measure(kind="burn", level=float(seconds)),),
    )
