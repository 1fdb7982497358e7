"""Intervals on lanes: the training step, the run, later the dispatch and the build-out.

A `Timeline` is a struct of arrays. Times are seconds from the start of what it describes; `value` is what the lane
carries while the interval lasts (watts on a power lane, accelerators on a fleet lane, NaN where the lane carries
nothing).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """Intervals (n) on named lanes.

    `lane` (n,) indexes `lanes`; `label` (n,) indexes `labels`; `start_s`, `end_s` (n,) with start_s <= end_s; `details`
    (n,) say more about an interval ("micro-batch 3"), empty where there is nothing to say or for none at all.
    Raises ValueError on arrays of different length, an index out of range or an interval that ends before it starts.
    """

    title: str
    lanes: tuple[str, ...]
    labels: tuple[str, ...]
    lane: NDArray[np.int64]
    label: NDArray[np.int64]
    start_s: NDArray[np.float64]
    end_s: NDArray[np.float64]
    details: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len({len(a) for a in (self.lane, self.label, self.start_s, self.end_s)}) > 1:
            raise ValueError(f"the columns of timeline {self.title!r} differ in length")
        if self.details and len(self.details) != len(self.lane):
            raise ValueError(f"the details of timeline {self.title!r} are not one per interval")
        if len(self.lane) == 0:
            return
        if not (self.lane.min() >= 0 and self.lane.max() < len(self.lanes)):
            raise ValueError(f"a lane index of timeline {self.title!r} is out of range")
        if not (self.label.min() >= 0 and self.label.max() < len(self.labels)):
            raise ValueError(f"a label index of timeline {self.title!r} is out of range")
        if not bool((self.end_s >= self.start_s).all()):
            raise ValueError(f"an interval of timeline {self.title!r} ends before it starts")

    @classmethod
    def of(cls, title: str, rows: list[tuple[str, str, float, float]], details: tuple[str, ...] = ()) -> Timeline:
        """Return the timeline of (lane, label, start_s, end_s) rows; lanes and labels keep their first order."""
        lanes = tuple(dict.fromkeys(row[0] for row in rows))
        labels = tuple(dict.fromkeys(row[1] for row in rows))
        return cls(
            title=title,
            lanes=lanes,
            labels=labels,
            lane=np.array([lanes.index(row[0]) for row in rows], dtype=np.int64),
            label=np.array([labels.index(row[1]) for row in rows], dtype=np.int64),
            start_s=np.array([row[2] for row in rows], dtype=np.float64),
            end_s=np.array([row[3] for row in rows], dtype=np.float64),
            details=details,
        )

    @property
    def duration_s(self) -> float:
        """End of the last interval, seconds; 0 for an empty timeline."""
        return float(self.end_s.max()) if len(self.end_s) else 0.0

    def rows(self) -> list[tuple[str, str, float, float]]:
        """Return (lane, label, start_s, end_s) per interval."""
        return [
            (self.lanes[lane], self.labels[label], start, end)
            for lane, label, start, end in zip(
                self.lane.tolist(), self.label.tolist(), self.start_s.tolist(), self.end_s.tolist(), strict=True
            )
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "title": self.title,
            "lanes": list(self.lanes),
            "labels": list(self.labels),
            "intervals": [
                {"lane": lane, "label": label, "start_s": start, "end_s": end} | ({"detail": detail} if detail else {})
                for (lane, label, start, end), detail in zip(
                    self.rows(), self.details or ("",) * len(self.lane), strict=True
                )
            ],
        }
