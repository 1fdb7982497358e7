"""`gigawatt power`: what the job of a scenario draws, whether the grid may see it, and who feeds it through a year.

scenario -> plan -> load by the moment -> spectrum, ramps, verdicts
-> hours of a year -> dispatch, duals, carbon, water
-> power caps
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gigawatt import power
from gigawatt._version import __version__
from gigawatt.documents import read_document
from gigawatt.errors import InfeasibleError, InputError, Problem, nearest_name
from gigawatt.planning._couple import Evaluation, evaluate
from gigawatt.planning._goodput import accelerator_hour_usd
from gigawatt.planning._inputs import Inputs, resolve
from gigawatt.planning._power_load import Levels, base_load, job_load, levels_of, run_events
from gigawatt.planning._power_mix import BatteryRow, Calming, batteries, calming, economics_of, site_load
from gigawatt.planning._power_year import PowerYear, battery_of, generators_of, year_of
from gigawatt.scenario import Scenario

HOUR = 3600.0
# A record that is judged is held in memory; exports are streamed and may be of any length.
MOST_SAMPLES = 4_000_000
LONGEST_S, FINEST_S = 366 * 86_400.0, 1e-3
# Points of a page.
SHOWN = 1_500
# The ramp to which a battery on the site is set where nothing asked for limits ramps: 10 MW/min.
USUAL_RAMP_W_PER_S = 10e6 / 60.0
FILTER_S = 60.0
SHOWN_STEP = 400
# Caps of the sweep, as shares of what the chip draws in training.
CAPS = (1.0, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)


@dataclass(frozen=True, slots=True, kw_only=True)
class CapRow:
    """One power cap (W; None: none) on the same site: what runs, for how long, at what energy and cost; None where no
    plan is possible.
    """

    cap_w: float | None
    accelerators: int
    run_s: float
    step_s: float
    energy_j: float
    cost_usd: float
    facility_peak_w: float
    reason: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; what is not finite is None."""
        values = {name: getattr(self, name) for name in self.__slots__}
        return {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in values.items()
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Behind:
    """What the grid sees of the record behind the battery of the site, set to `ramp_w_per_s`."""

    ramp_w_per_s: float
    smoothed: power.Smoothed
    compliance: tuple[power.ComplianceResult, ...]

    def to_dict(self, window_s: float) -> dict[str, Any]:
        """Return plain data for JSON, the record in windows."""
        block = power.Block.of(self.smoothed.grid_w, self.smoothed.step_s)
        return {
            "ramp_w_per_s": self.ramp_w_per_s,
            **self.smoothed.to_dict(),
            "shown": power.resample([block], window_s).to_dict(),
            "compliance": [result.to_dict() for result in self.compliance],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PowerReport:
    """The power of a scenario's job. `record` is the site by the moment from `begin_s` of the run on; `year` None where
    it was not asked for.
    """

    scenario: Scenario
    inputs: Inputs
    base: Evaluation
    levels: Levels
    loads: tuple[power.JobLoad | power.FlatLoad, ...]
    begin_s: float
    seed: int
    record: power.Block
    contract_w: float
    spectrum: power.Spectrum
    ramps: power.RampCurve
    compliance: tuple[power.ComplianceResult, ...]
    behind: Behind | None
    batteries: tuple[BatteryRow, ...]
    calming: tuple[Calming, ...]
    caps: tuple[CapRow, ...]
    year: PowerYear | None
    notes: tuple[str, ...]

    @property
    def step(self) -> power.StepProfile:
        """The power of the site over one undisturbed step."""
        job, rest = self.loads
        assert isinstance(job, power.JobLoad)
        assert isinstance(rest, power.FlatLoad)
        flat = float(rest.power_w[0])
        return job.step().mapped(lambda watts: watts + flat)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        base, record, step = self.base, self.record, self.step
        window_s = max(len(record.power_w) // SHOWN, 1) * record.step_s
        shown = power.resample([record], window_s)
        return {
            "version": __version__,
            "scenario": self.scenario.name,
            "model": self.inputs.model.name,
            "accelerator": " and ".join(group.accelerator.name for group in self.inputs.groups),
            "accelerators": base.fleet.powered,
            "used": base.training.accelerators,
            "power_cap_w": self.scenario.power.power_cap,
            "seed": self.seed,
            "levels_w": dict(self.levels.watts),
            "facility_w": base.value("power.facility"),
            "facility_peak_w": base.value("power.facility_peak"),
            "facility_idle_w": base.value("power.facility_idle"),
            "contract_w": self.contract_w,
            "power": base.power.facility.to_dict(),
            "step": {
                "period_s": step.period_s,
                "mean_w": step.mean_w,
                "swing_w": step.swing_w,
                "storage_j": step.storage_j,
                "shown": _steady(self.loads, step.period_s, step.period_s / SHOWN_STEP).to_dict(),
            },
            "record": {
                "begin_s": self.begin_s,
                "step_s": record.step_s,
                "duration_s": record.step_s * len(record.power_w),
                "energy_j": record.energy_j,
                "mean_w": float(record.power_w.mean()),
                "minimum_w": float(record.minimum_w.min()),
                "maximum_w": float(record.maximum_w.max()),
                "shown": shown.to_dict(),
            },
            "spectrum": _thinned(self.spectrum),
            "ramps": self.ramps.to_dict(),
            "compliance": [result.to_dict() for result in self.compliance],
            "behind": None if self.behind is None else self.behind.to_dict(window_s),
            "batteries": [row.to_dict() for row in self.batteries],
            "calming": [found.to_dict() for found in self.calming],
            "caps": [row.to_dict() for row in self.caps],
            "year": None if self.year is None else self.year.to_dict(),
            "warnings": [*self.notes, *(() if self.year is None else self.year.warnings), *self.inputs.notes],
        }


def _thinned(found: power.Spectrum) -> dict[str, Any]:
    """Return a spectrum in at most SHOWN bins of equal width in log frequency, the largest line of each kept."""
    first = power.LINE_BINS  # below it is only the window's own width
    hertz, watts = found.frequency_hz[first:], found.amplitude_w[first:]
    bins = np.minimum((np.log(hertz / hertz[0]) / math.log(hertz[-1] / hertz[0]) * SHOWN).astype(int), SHOWN - 1)
    keep = [int(np.flatnonzero(bins == b)[np.argmax(watts[bins == b])]) for b in np.unique(bins)]
    return {
        "frequency_hz": hertz[keep].tolist(),
        "amplitude_w": watts[keep].tolist(),
        "resolution_hz": found.resolution_hz,
        "largest": dict(zip(("frequency_hz", "amplitude_w"), found.largest(), strict=True)),
    }


def power_scenario(
    scenario: Scenario,
    *,
    duration_s: float = HOUR,
    resolution_s: float = 0.01,
    seed: int = 0,
    year: bool = True,
    caps: bool = True,
    measures: bool = True,
) -> PowerReport:
    """Return the power of a scenario's job: `duration_s` of it in samples of `resolution_s`, verdicts, measures that
    would comply, a year, caps.

    Raises InputError for what cannot be, InfeasibleError where no plan is possible.
    """
    _check(duration_s, resolution_s)
    duration_s = resolution_s * max(math.floor(duration_s / resolution_s * (1.0 + 1e-12)), 1)  # whole samples
    inputs = resolve(scenario)
    sets = requirements_of(scenario)
    base = evaluate(inputs)
    levels = levels_of(inputs, base)
    record_s = min(duration_s, MOST_SAMPLES * resolution_s)
    events, begin = run_events(inputs, base, seed, record_s)
    loads = (job_load(base, levels, events), base_load(base, levels))
    record = power.joined(power.waveform(loads, record_s, resolution_s, seed))
    grid = inputs.value("site.grid_limit") if inputs.has("site.grid_limit") else None
    contract = grid if grid is not None else float(record.maximum_w.max())
    hourly = accelerator_hour_usd(inputs, base.training, base.reliability.goodput)
    abilities = _abilities(inputs, base, levels)
    site, money = site_load(inputs, base, levels), economics_of(inputs, None if hourly is None else hourly / HOUR)
    return PowerReport(
        scenario=scenario,
        inputs=inputs,
        base=base,
        levels=levels,
        loads=loads,
        begin_s=begin,
        seed=seed,
        record=record,
        contract_w=contract,
        spectrum=_steady_spectrum(loads, resolution_s, base.training.step_s),
        ramps=power.ramp_duration_curve([record]),
        compliance=tuple(
            power.check(each, record.power_w, resolution_s, contract_w=each.contract_w or contract, abilities=abilities)
            for each in sets
        ),
        behind=_behind(scenario, sets, record, contract, abilities),
        batteries=batteries(site, money, contract) if measures else (),
        calming=calming(site, sets, money, contract) if measures else (),
        caps=_cap_rows(inputs) if caps else (),
        year=year_of(inputs, base, None if hourly is None else hourly / HOUR) if year else None,
        notes=_notes(duration_s, record_s, events is None),
    )


def _check(duration_s: float, resolution_s: float) -> None:
    for option, value, low, high in (
        ("--duration", duration_s, 1.0, LONGEST_S),
        ("--resolution", resolution_s, FINEST_S, HOUR),
    ):
        if not low <= value <= high:
            raise InputError(
                Problem(
                    message="impossible value",
                    location=option,
                    found=f"{value:g} s",
                    allowed=f"{low:g} s to {high:,.0f} s",
                )
            )
    if resolution_s > duration_s:
        raise InputError(
            Problem(
                message="a sample longer than the record",
                location="--resolution",
                found=f"{resolution_s:g} s",
                allowed=f"at most {duration_s:g} s",
            )
        )


def requirements_of(scenario: Scenario) -> tuple[power.Requirements, ...]:
    """Return what the grid asks: the set or file that the scenario names, else every packaged set.

    Raises InputError for a name that is neither.
    """
    known, name = power.packaged_requirements(), scenario.power.requirements
    if name is None:
        return tuple(known.values())
    if name in known:
        return (known[name],)
    path = scenario.folder / name
    if not path.exists():
        raise InputError(
            Problem(
                message="neither a packaged set of requirements nor a file",
                location=scenario.place("power.requirements"),
                path="power.requirements",
                found=repr(name),
                allowed=f"{', '.join(known)}, or a YAML file",
                nearest=nearest_name(name, list(known)) or "",
            )
        )
    document = read_document(path)
    return (power.requirements_from(document.data, document.place),)


def _abilities(inputs: Inputs, base: Evaluation, levels: Levels) -> power.SiteAbilities:
    """Return what the record does not tell: what the site can give up on call by stopping its job and running all
    generators that stand at the end of the year.
    """
    scenario = inputs.scenario
    free = base.training.accelerators * (levels.of("training") - levels.of("idle")) * inputs.value("site.pue")
    free += sum(
        group.capacity_w
        for item in scenario.power.generators or ()
        if item.until is None and item.kind in power.GENERATORS
        for group in (generators_of(item),)
    )
    contract = scenario.power.curtailment
    return power.SiteAbilities(
        curtail_w=free if contract is not None else None,
        curtail_response_s=base.reliability.save_s,
        curtail_s_per_year=contract.hours if contract is not None else math.inf,
    )


def _behind(
    scenario: Scenario,
    sets: Sequence[power.Requirements],
    record: power.Block,
    contract_w: float,
    abilities: power.SiteAbilities,
) -> Behind | None:
    """Return the record behind the batteries of the site, None where there are none: they follow a filter and the least
    ramp limit that is asked for.
    """
    battery = battery_of(scenario)
    if battery is None:
        return None
    limits = [
        min(ramp.up.at(each.contract_w or contract_w), ramp.down.at(each.contract_w or contract_w))
        for each in sets
        for ramp in each.ramps
    ]
    ramp = min(limits, default=USUAL_RAMP_W_PER_S)
    store = power.Store(
        discharge_w=battery.discharge_w,
        charge_w=battery.charge_w,
        energy_j=battery.energy_j,
        discharge_efficiency=battery.discharge_efficiency,
        charge_efficiency=battery.charge_efficiency,
    )
    controller = power.Controller(ramp_up_w_per_s=ramp, ramp_down_w_per_s=ramp, filter_s=FILTER_S)
    first = float(record.power_w[: max(1, round(FILTER_S / record.step_s))].mean())
    smoothed = power.smooth(record.power_w, record.step_s, store, controller, start_w=first)
    checked = tuple(
        power.check(each, smoothed.grid_w, record.step_s, contract_w=each.contract_w or contract_w, abilities=abilities)
        for each in sets
    )
    return Behind(ramp_w_per_s=ramp, smoothed=smoothed, compliance=checked)


def _steady_spectrum(
    loads: Sequence[power.JobLoad | power.FlatLoad], resolution_s: float, step_s: float
) -> power.Spectrum:
    """Return the spectrum of undisturbed steps, 64 of them, so that its lines are those of the step."""
    step = min(resolution_s, step_s / 16.0)
    job, rest = loads
    assert isinstance(job, power.JobLoad)
    record = power.joined(power.waveform((replace(job, events=None), rest), 64.0 * step_s, step))
    return power.spectrum(record.power_w, step)


def _steady(loads: Sequence[power.JobLoad | power.FlatLoad], duration_s: float, window_s: float) -> power.Resampled:
    """Return undisturbed steps in windows."""
    job, rest = loads
    assert isinstance(job, power.JobLoad)
    blocks = power.waveform((replace(job, events=None), rest), duration_s, window_s)
    return power.resample(blocks, window_s).whole()


def _cap_rows(inputs: Inputs) -> tuple[CapRow, ...]:
    """Return the plan without a cap and under caps, all under the same grid limit and budget."""
    asked = inputs.scenario.power
    free = replace(inputs, scenario=replace(inputs.scenario, power=asked.model_copy(update={"power_cap": None})))
    draw = inputs.chip_watts("training", capped=False)
    rows = []
    for share in (None, *CAPS[1:]):
        cap = None if share is None else share * draw
        section = asked.model_copy(update={"power_cap": cap})
        scenario = replace(free.scenario, power=section)
        try:
            found = evaluate(resolve(scenario))
        except (InfeasibleError, InputError) as error:
            rows.append(_no_row(cap, str(error)))
            continue
        rows.append(
            CapRow(
                cap_w=cap,
                accelerators=found.fleet.powered,
                run_s=found.value("run.time"),
                step_s=found.training.step_s,
                energy_j=found.value("run.energy"),
                cost_usd=found.value("finance.run_cost"),
                facility_peak_w=found.value("power.facility_peak"),
            )
        )
    return tuple(rows)


def _no_row(cap_w: float | None, reason: str) -> CapRow:
    nan = math.nan
    return CapRow(
        cap_w=cap_w,
        accelerators=0,
        run_s=nan,
        step_s=nan,
        energy_j=nan,
        cost_usd=nan,
        facility_peak_w=nan,
        reason=reason,
    )


def best_cap(rows: Sequence[CapRow]) -> CapRow:
    """Return the cap with the shortest run; of runs within a thousandth the one with least energy."""
    known = [row for row in rows if math.isfinite(row.run_s)]
    fastest = min(row.run_s for row in known)
    return min((row for row in known if row.run_s <= 1.001 * fastest), key=lambda row: row.energy_j)


def _notes(duration_s: float, record_s: float, short: bool) -> tuple[str, ...]:
    notes = []
    if record_s < duration_s:
        notes.append(f"verdicts are on the first {record_s:,.0f} s; an export holds all {duration_s:,.0f} s")
    if short:
        notes.append("the run is shorter than the record, so no failure is in it")
    return tuple(notes)


def export_blocks(report: PowerReport, duration_s: float, resolution_s: float) -> Any:
    """Return the stream of the load over `duration_s`, however long: the window of the report, then the run goes on."""
    inputs, base = report.inputs, report.base
    duration_s = resolution_s * max(math.floor(duration_s / resolution_s * (1.0 + 1e-12)), 1)
    events, _ = run_events(inputs, base, report.seed, duration_s)
    loads = (job_load(base, report.levels, events), base_load(base, report.levels))
    return power.waveform(loads, duration_s, resolution_s, report.seed)


__all__ = ["CapRow", "PowerReport", "battery_of", "best_cap", "export_blocks", "power_scenario"]
