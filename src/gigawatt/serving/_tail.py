"""Distributions of sums of independent times, in columns: transforms on a grid, exact up to the grid.

A delay is written as its characteristic function on M/2 + 1 frequencies of a grid of M cells of `cell_s` (N,); sums are
products, mixtures are sums, and the Pollaczek-Khinchine formula is one line. Nothing is fitted: what comes out is the
distribution of the queue that was put in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Complex = NDArray[np.complex128]


@dataclass(frozen=True, slots=True, kw_only=True)
class Grid:
    """N grids of `cells` points of time, `cell_s` (N,) apart, from 0."""

    cell_s: Array
    cells: int

    @property
    def turn(self) -> Array:
        """Angle by which a cell turns each frequency, (M/2 + 1,)."""
        return np.asarray(2.0 * np.pi * np.arange(self.cells // 2 + 1) / self.cells, dtype=np.float64)

    def points(self, times_s: Array, weight: Array) -> Array:
        """Return probabilities of the cells, (N, M), of the times (N, K) with shares (K,); a time between two cells is
        shared by both so that the mean is kept.
        """
        n = len(times_s)
        at = np.clip(times_s / self.cell_s[:, None], 0.0, self.cells - 1.001)
        low = at.astype(np.int64)
        part = at - low
        place = low + np.arange(n)[:, None] * self.cells
        share = np.broadcast_to(weight, at.shape)
        total = np.bincount(place.ravel(), weights=(share * (1.0 - part)).ravel(), minlength=n * self.cells)
        total += np.bincount(place.ravel() + 1, weights=(share * part).ravel(), minlength=n * self.cells)[
            : n * self.cells
        ]
        return np.asarray(total.reshape(n, self.cells), dtype=np.float64)

    def transform(self, probabilities: Array) -> Complex:
        """Return the characteristic function of probabilities of cells, (N, M/2 + 1)."""
        return np.fft.rfft(probabilities, axis=1)

    def uniform(self, width_s: Array) -> Complex:
        """Return the characteristic function of a time that is uniform between 0 and `width_s` (N,)."""
        half = self.turn * (width_s / self.cell_s)[:, None] / 2.0
        return np.asarray(np.sinc(half / np.pi) * np.exp(-1j * half))

    def exponential(self, mean_s: Array) -> Complex:
        """Return the characteristic function of an exponential time of `mean_s` (N,)."""
        return np.asarray(1.0 / (1.0 + 1j * self.turn * (mean_s / self.cell_s)[:, None]))

    def residual(self, probabilities: Array) -> Complex:
        """Return the characteristic function of what is left of a time at a moment inside it, (N, M/2 + 1)."""
        beyond = np.maximum(1.0 - np.cumsum(probabilities, axis=1), 0.0)
        total = np.maximum(beyond.sum(axis=1, keepdims=True), 1e-300)
        return np.asarray(np.fft.rfft(beyond / total, axis=1) * np.exp(-0.5j * self.turn))

    def mean(self, transform: Complex) -> Array:
        """Return the mean time of what a transform describes, s (N,)."""
        mass = np.fft.irfft(transform, n=self.cells, axis=1)
        return np.asarray(mass @ np.arange(self.cells) * self.cell_s)

    def quantiles(self, transform: Complex, levels: tuple[float, ...]) -> Array:
        """Return the times that a share `levels` (Q,) of delays does not pass, (N, Q)."""
        mass = np.fft.irfft(transform, n=self.cells, axis=1)
        total = np.cumsum(mass, axis=1) - mass / 2.0
        total = np.maximum.accumulate(total, axis=1)
        rows = np.arange(len(total))
        found = np.empty((len(total), len(levels)))
        for column, level in enumerate(levels):
            after = np.clip((total < level).sum(axis=1), 1, self.cells - 1)
            low, high = total[rows, after - 1], total[rows, after]
            part = np.clip((level - low) / np.maximum(high - low, 1e-300), 0.0, 1.0)
            found[:, column] = np.where(total[:, 0] >= level, 0.0, (after - 1 + part) * self.cell_s)
        return found


def waits(utilisation: Array, servers: Array | float) -> Array:
    """Return the share of requests that wait for one of `servers`, (N,): the exponent of Sakasegawa's formula
    (models: 11.6); exact with one server.
    """
    return np.asarray(np.clip(utilisation, 0.0, 1.0) ** (np.sqrt(2.0 * (np.asarray(servers) + 1.0)) - 1.0))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """A wait as a mixture: none at all with a share `none` (N,), else with the characteristic function `some`
    (N, M/2 + 1), already times its share.
    """

    none: Array
    some: Complex


def regularity(utilisation: Array, arrivals: Array, service: Array) -> tuple[Array, Array]:
    """Return by what the chance to wait and the wait of those who do differ from Poisson arrivals (or, above
    1, from Poisson groups), each (N,); `arrivals` and `service` are squared coefficients of variation.

    Kraemer and Langenbach-Belz (1976), equations for GI/G/1. Both are 1 for Poisson arrivals.
    """
    rho, ca, cs = np.clip(utilisation, 1e-9, 1.0), arrivals, service
    low = np.minimum(ca, 1.0)
    fewer = 1.0 + (low - 1.0) * (1.0 - rho) * (1.0 + low + rho * cs) / (
        1.0 + rho * (cs - 1.0) + rho * rho * (4.0 * low + cs)
    )
    spread = np.maximum(low + cs, 1e-9)
    shorter = (low + cs) / (1.0 + cs) * np.exp(-2.0 * (1.0 - rho) * (1.0 - low) ** 2 / (3.0 * rho * spread))
    high = np.maximum(ca, 1.0)
    softer = np.exp(-(1.0 - rho) * (high - 1.0) / (high + 4.0 * cs))
    fewer = np.clip(fewer, 0.0, 1.0)
    return np.asarray(fewer), np.asarray(shorter * softer / np.maximum(fewer, 1e-9))


def waiting(
    grid: Grid, service: Array, *, utilisation: Array, servers: Array | float = 1.0, burst: Array | float = 1.0
) -> Wait:
    """Return the wait in front of a server that is busy for a share `utilisation` (N,) < 1 of the time; `service` (N, M)
    are the probabilities of cells of the work of a request.

    Pollaczek and Khinchine's transform. With `servers` that share one queue the wait, where there is one, is that of a
    server as many times as fast, and fewer wait. Bursts: Poisson groups of requests of a geometric number with mean
    `burst`, which gives counts a ratio of variance to mean of 2 burst - 1 over long times; the wait then holds the
    group's own requests that stand in front.
    """
    rho = np.asarray(utilisation, dtype=np.float64)[:, None]
    more = 1.0 - 1.0 / np.broadcast_to(np.asarray(burst, dtype=np.float64), rho.shape[:1])[:, None]
    ahead = (1.0 - more) / (1.0 - more * grid.transform(service))
    none = (1.0 - rho) * (1.0 - more)
    every = (1.0 - rho) / (1.0 - rho * grid.residual(service) * ahead) * ahead
    some = every - none
    share = waits(rho[:, 0], servers)[:, None]
    factor = (1.0 - (1.0 - share) * (1.0 - more)) / np.maximum(1.0 - none, 1e-12)
    return Wait(none=(1.0 - (1.0 - none) * factor)[:, 0], some=np.asarray(some * factor))
