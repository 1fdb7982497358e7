"""A power record against what the grid asks: a verdict per clause, with value, limit, margin and the worst moment.

What cannot be judged from the data at hand is said, with the reason. Watts, seconds. Shapes: n samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gigawatt.power._requirements import (
    BandLimit,
    CurtailmentClause,
    PowerFactor,
    RampLimit,
    RangeLimit,
    Requirements,
    RideThrough,
)
from gigawatt.power._spectrum import LINE_BINS, worst_band

Array = NDArray[np.float64]
MET, MISSED, NOT_JUDGED = "met", "missed", "not judged"
BAND_PERIODS = 12
EXCERPT = 400  # points of the window that is kept around the worst moment
_EXCERPT = ("excerpt_s", "excerpt_w", "excerpt_low_w", "excerpt_high_w")
_NONE = np.empty(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteAbilities:
    """What the power record does not tell. None: not known.

    The site moves `transfer_share` of its load to its own supply where the voltage falls below `transfer_voltage` for
    longer than `transfer_delay_s`; on call it gives up `curtail_w` within `curtail_response_s`.
    """

    transfer_voltage: float | None = None
    transfer_delay_s: float = 0.0
    transfer_share: float = 1.0
    power_factor: float | None = None
    curtail_w: float | None = None
    curtail_response_s: float = 0.0
    curtail_s_per_year: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class ClauseResult:
    """One clause: `value` against `limit` in `unit`, `margin` = room left as a share of the limit (negative: missed).

    `moment_s` is when the worst happens, the excerpt the record around it (times, means and extremes). NaN where it does
    not apply.
    """

    clause: str
    verdict: str
    value: float = math.nan
    limit: float = math.nan
    unit: str = ""
    margin: float = math.nan
    moment_s: float = math.nan
    reason: str = ""
    source: str = ""
    excerpt_s: Array = field(default_factory=lambda: _NONE)
    excerpt_w: Array = field(default_factory=lambda: _NONE)
    excerpt_low_w: Array = field(default_factory=lambda: _NONE)
    excerpt_high_w: Array = field(default_factory=lambda: _NONE)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON; what does not apply is None."""
        numbers = {name: getattr(self, name) for name in ("value", "limit", "margin", "moment_s")}
        return (
            {name: getattr(self, name) for name in ("clause", "verdict", "unit", "reason", "source")}
            | {name: value if math.isfinite(value) else None for name, value in numbers.items()}
            | {name: getattr(self, name).tolist() for name in _EXCERPT}
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ComplianceResult:
    """The verdicts on one record."""

    requirements: Requirements
    contract_w: float
    clauses: tuple[ClauseResult, ...]

    @property
    def complies(self) -> bool:
        """Whether no clause is missed; some may not be judged."""
        return all(clause.verdict != MISSED for clause in self.clauses)

    @property
    def binding(self) -> ClauseResult | None:
        """The judged clause with the least margin."""
        judged = [clause for clause in self.clauses if clause.verdict != NOT_JUDGED]
        return min(judged, key=lambda clause: clause.margin, default=None)

    @property
    def not_judged(self) -> tuple[ClauseResult, ...]:
        """Clauses without a verdict."""
        return tuple(clause for clause in self.clauses if clause.verdict == NOT_JUDGED)

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "requirements": self.requirements.name,
            "contract_w": self.contract_w,
            "complies": self.complies,
            "clauses": [clause.to_dict() for clause in self.clauses],
        }


def check(
    requirements: Requirements,
    power_w: Array,
    step_s: float,
    *,
    start_s: float = 0.0,
    contract_w: float | None = None,
    abilities: SiteAbilities | None = None,
) -> ComplianceResult:
    """Return the verdicts on a record (n,) of mean power in samples of `step_s`.

    Shares refer to `contract_w`, else to that of the requirements, else to the largest sample. Use samples well below
    the fastest window and the highest frequency asked for. Raises ValueError for an empty record.
    """
    power = np.asarray(power_w, np.float64)
    if len(power) == 0 or step_s <= 0.0:
        raise ValueError("a record to check needs samples, and a step above zero")
    peak = float(power.max())
    contract = next(value for value in (contract_w, requirements.contract_w, peak) if value is not None)
    record = _Record(power, step_s, start_s, contract, abilities or SiteAbilities())
    clauses = [
        *(result for ramp in requirements.ramps for result in record.ramp(ramp)),
        *(record.range(limit) for limit in requirements.ranges),
        *(record.band(limit) for limit in requirements.bands),
        *(record.ride(limit) for limit in requirements.ride_through),
        *(record.curtail(limit) for limit in requirements.curtailment),
        *(record.factor(limit) for limit in requirements.power_factor),
    ]
    if peak < requirements.threshold_w:
        reason = f"the peak of {peak / 1e6:.1f} MW is below the threshold of {requirements.threshold_w / 1e6:.1f} MW"
        clauses = [ClauseResult(clause=c.clause, verdict=NOT_JUDGED, reason=reason, source=c.source) for c in clauses]
    return ComplianceResult(requirements=requirements, contract_w=contract, clauses=tuple(clauses))


@dataclass(frozen=True, slots=True)
class _Record:
    power: Array
    dt: float
    start_s: float
    contract_w: float
    site: SiteAbilities

    def ramp(self, limit: RampLimit) -> list[ClauseResult]:
        lag = max(1, round(limit.window_s / self.dt))
        coarse = limit.window_s < self.dt * (1.0 - 1e-9)
        names = (f"rise over {_text_s(limit.window_s)}", f"fall over {_text_s(limit.window_s)}")
        if coarse:
            reason = f"samples of {_text_s(self.dt)} are longer than the window"
            return [_unknown(name, limit.source, reason) for name in names]
        if lag >= len(self.power):
            return [_unknown(name, limit.source, "the record is shorter than the window") for name in names]
        rate = (self.power[lag:] - self.power[:-lag]) / (lag * self.dt)
        results = []
        for name, sign, bound in zip(names, (1.0, -1.0), (limit.up, limit.down), strict=True):
            at = int(np.argmax(sign * rate))
            value = max(float(sign * rate[at]), 0.0)
            results.append(self._result(name, value, bound.at(self.contract_w), "W/s", limit.source, at, lag))
        return results

    def range(self, limit: RangeLimit) -> ClauseResult:
        width = min(max(1, round(limit.window_s / self.dt)), len(self.power))
        if limit.window_s < 2.0 * self.dt * (1.0 - 1e-9):
            reason = f"the window holds less than two samples of {_text_s(self.dt)}"
            return _unknown(f"range within {_text_s(limit.window_s)}", limit.source, reason)
        spread = _sliding(self.power, width, np.maximum) - _sliding(self.power, width, np.minimum)
        at = int(np.argmax(spread))
        name = f"range within {_text_s(limit.window_s)}"
        return self._result(name, float(spread[at]), limit.width.at(self.contract_w), "W", limit.source, at, width)

    def band(self, limit: BandLimit) -> ClauseResult:
        name = f"amplitude from {limit.low_hz:g} to {limit.high_hz:g} Hz"
        nyquist, length = 0.5 / self.dt, len(self.power) * self.dt
        if nyquist <= limit.low_hz:
            return _unknown(name, limit.source, f"samples of {_text_s(self.dt)} see nothing above {nyquist:g} Hz")
        if length * limit.low_hz < LINE_BINS:
            return _unknown(name, limit.source, f"the record of {_text_s(length)} has no {LINE_BINS} periods")
        window_s = BAND_PERIODS * LINE_BINS / limit.low_hz  # a line reaches over LINE_BINS of its bins
        found, start = worst_band(self.power, self.dt, limit.low_hz, limit.high_hz, window_s)
        value = found.band_amplitude(limit.low_hz, limit.high_hz)
        hertz, line = found.largest(limit.low_hz, limit.high_hz)
        reason = f"largest line {line / 1e6:.3g} MW at {hertz:.3g} Hz"
        if nyquist < limit.high_hz:
            reason += f"; judged up to {nyquist:g} Hz, which is all that samples of {_text_s(self.dt)} show"
        bound, width = limit.amplitude.at(self.contract_w), round(min(window_s, length) / self.dt)
        return self._result(name, value, bound, "W", limit.source, round(start / self.dt), width, reason)

    def ride(self, limit: RideThrough) -> ClauseResult:
        name = f"dip to {limit.voltage:.0%} for {_text_s(limit.duration_s)}"
        if self.site.transfer_voltage is None:
            return _unknown(name, limit.source, "the voltage at which the site leaves the grid is not given")
        leaves = limit.voltage < self.site.transfer_voltage and limit.duration_s > self.site.transfer_delay_s
        share = self.site.transfer_share if leaves else 0.0
        reason = f"{share * float(self.power.max()) / 1e6:.0f} MW at risk" if leaves else "the site rides it"
        return _judged(name, share, limit.drop_share, "share of the load", limit.source, reason)

    def curtail(self, limit: CurtailmentClause) -> ClauseResult:
        depth = limit.depth.at(self.contract_w)
        name = f"{depth / 1e6:.0f} MW less on notice of {_text_s(limit.notice_s)}"
        if self.site.curtail_w is None:
            return _unknown(name, limit.source, "what the site can give up on call is not given")
        in_time = self.site.curtail_response_s <= limit.notice_s
        enough = self.site.curtail_s_per_year >= limit.hours_s
        value = self.site.curtail_w if in_time and enough else 0.0
        reason = "" if in_time else f"it takes {_text_s(self.site.curtail_response_s)}"
        reason += "" if enough else f"{'; ' if reason else ''}at most {_text_s(self.site.curtail_s_per_year)} a year"
        return _judged(name, value, depth, "W", limit.source, reason, at_least=True)

    def factor(self, limit: PowerFactor) -> ClauseResult:
        if self.site.power_factor is None:
            return _unknown("power factor", limit.source, "reactive power is not modelled; give the power factor")
        return _judged("power factor", self.site.power_factor, limit.minimum, "", limit.source, at_least=True)

    def _result(
        self, name: str, value: float, bound: float, unit: str, source: str, at: int, width: int, reason: str = ""
    ) -> ClauseResult:
        first, last = max(0, at - 2 * width), min(len(self.power), at + 3 * width + 1)
        stride = max(1, math.ceil((last - first) / EXCERPT))
        last = first + max(1, (last - first) // stride) * stride
        shown = self.power[first:last].reshape(-1, stride)
        return _judged(
            name,
            value,
            bound,
            unit,
            source,
            reason,
            moment_s=self.start_s + at * self.dt,
            excerpt_s=self.start_s + self.dt * (first + stride * np.arange(len(shown), dtype=np.float64)),
            excerpt_w=shown.mean(axis=1),
            excerpt_low_w=shown.min(axis=1),
            excerpt_high_w=shown.max(axis=1),
        )


def _judged(
    name: str,
    value: float,
    bound: float,
    unit: str,
    source: str,
    reason: str = "",
    *,
    at_least: bool = False,
    **more: Any,
) -> ClauseResult:
    room = value - bound if at_least else bound - value
    ok = room >= -1e-9 * max(abs(value), abs(bound))
    margin = room / bound if bound > 0.0 else (0.0 if ok else -math.inf)
    verdict = MET if ok else MISSED
    fixed: dict[str, Any] = {
        "clause": name,
        "verdict": verdict,
        "value": value,
        "limit": bound,
        "unit": unit,
        "margin": margin,
    }
    return ClauseResult(**fixed, reason=reason, source=source, **more)


def _unknown(name: str, source: str, reason: str) -> ClauseResult:
    return ClauseResult(clause=name, verdict=NOT_JUDGED, reason=reason, source=source)


def _sliding(power: Array, width: int, pick: np.ufunc) -> Array:
    """Return the extreme over each `width` successive samples, (n - width + 1,), by doubling."""
    best, have = power, 1
    while 2 * have <= width:
        best = pick(best[:-have], best[have:])
        have *= 2
    if have < width:
        best = pick(best[: len(power) - width + 1], best[width - have :])
    return np.asarray(best)


def _text_s(seconds: float) -> str:
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= size and (seconds / size).is_integer():
            return f"{seconds / size:g} {unit}"
    return f"{seconds:g} s"
