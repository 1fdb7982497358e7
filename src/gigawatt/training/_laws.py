"""Scaling laws in closed form (docs/science.md 9.1-9.4, 10.2): what a budget of computing should train, what a batch
and a repeated data set cost, and the largest run that latency allows.

Losses in nats per token, N parameters, D training tokens, C = 6*N*D FLOP (forward and backward of a dense model; for a
mixture of experts these laws say nothing about which parameters count), batches in tokens, times in seconds. Pure
functions; coefficients with range and source stand in data/scaling_laws.csv. All of them were fitted below 1e23 FLOP:
beyond, they are extrapolations.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TypeAlias, overload

import numpy as np
from numpy.typing import NDArray

from gigawatt.catalog import sourced_table
from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Grade, Sourced

Array: TypeAlias = NDArray[np.float64]
Numbers: TypeAlias = float | Array

TRAINING_FLOP = 6.0  # per parameter and token: 2 forward, 4 backward
INFERENCE_FLOP = 2.0  # per parameter and token
COEFFICIENTS = ("E", "A", "B", "alpha", "beta")
SCALING_LAWS = ("epoch_refit", "hoffmann", "hoffmann_unrounded")


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """L(N, D) = E + A/N^alpha + B/D^beta, nats per token (Hoffmann and others, arXiv 2203.15556, approach 3).

    `loss`, `compute_optimal` and `tokens_for` take scalars and arrays alike. Raises ValueError for a coefficient that
    is not positive.
    """

    name: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def __post_init__(self) -> None:
        _require_positive(**{key: getattr(self, key) for key in COEFFICIENTS})

    @overload
    def loss(self, parameters: float, tokens: float) -> float: ...
    @overload
    def loss(self, parameters: Numbers, tokens: Numbers) -> Numbers: ...
    def loss(self, parameters: Numbers, tokens: Numbers) -> Numbers:
        """Return E + A/N^alpha + B/D^beta, nats per token, of N parameters trained on D tokens.

        The refit at 70e9 parameters and 1.4e12 tokens (Chinchilla): 1.974. Raises ValueError unless both are positive.
        """
        _require_positive(parameters=parameters, tokens=tokens)
        return self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta

    @overload
    def compute_optimal(self, flop: float) -> tuple[float, float]: ...
    @overload
    def compute_optimal(self, flop: Numbers) -> tuple[Numbers, Numbers]: ...
    def compute_optimal(self, flop: Numbers) -> tuple[Numbers, Numbers]:
        """Return the parameters and tokens of least loss for C = 6*N*D FLOP (docs/science.md 9.1).

        N = G*(C/6)^(beta/(alpha+beta)) and D = (C/6)/N with G = (alpha*A/(beta*B))^(1/(alpha+beta)). The refit at
        5.76e23 FLOP: 7.23e10 parameters, 18.4 tokens each. Raises ValueError unless C is positive.
        """
        _require_positive(flop=flop)
        total = self.alpha + self.beta
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1.0 / total)
        parameters = scale * (flop / TRAINING_FLOP) ** (self.beta / total)
        return parameters, flop / TRAINING_FLOP / parameters

    def smallest_parameters(self, loss: float) -> float:
        """Return (A/(L - E))^(1/alpha): at or below it, no number of tokens reaches the loss.

        Raises ValueError for a loss at or below E.
        """
        _require_positive(loss=loss)
        if loss <= self.E:
            raise ValueError(
                f"no model of any size reaches a loss of {loss:.4g} nats per token: the limit of the law {self.name} is {self.E:.4g}"
            )
        return float((self.A / (loss - self.E)) ** (1.0 / self.alpha))

    @overload
    def tokens_for(self, loss: float, parameters: float) -> float: ...
    @overload
    def tokens_for(self, loss: Numbers, parameters: Numbers) -> Numbers: ...
    def tokens_for(self, loss: Numbers, parameters: Numbers) -> Numbers:
        """Return the tokens that bring N parameters to a loss: (B/(L - E - A/N^alpha))^(1/beta).

        Raises ValueError where N parameters do not reach it on any number of tokens (see `smallest_parameters`).
        """
        _require_positive(loss=loss, parameters=parameters)
        left = loss - self.E - self.A / parameters**self.alpha
        if np.any(left <= 0):
            worst = np.unravel_index(np.argmin(left), np.shape(left))
            wanted = np.broadcast_to(loss, np.shape(left))[worst]
            size = np.broadcast_to(parameters, np.shape(left))[worst]
            raise ValueError(
                f"{size:.4g} parameters never reach a loss of {wanted:.4g} nats per token, however many tokens they see: "
                f"their limit under the law {self.name} is {self.E + self.A / size**self.alpha:.4g}"
            )
        return (self.B / left) ** (1.0 / self.beta)

    def over_trained(
        self,
        loss: float,
        inference_tokens: float,
        train_cost_per_flop: float = 1.0,
        inference_cost_per_flop: float = 1.0,
    ) -> tuple[float, float]:
        """Return the parameters and training tokens that reach a loss at the least cost of training and serving,
        6*N*D*c_t + 2*N*D_inf*c_i (Sardana and others, arXiv 2401.00448; docs/science.md 9.2).

        Costs in any one unit per FLOP; 1 and 1 count FLOPs, and price over utilisation gives money. Write v for the
        share of the loss above E that parameters leave over the share that tokens leave, A*N^-alpha / (B*D^-beta).
        Then the cost is convex in log N and least where 3*c_t*D*(v*alpha/beta - 1) = c_i*D_inf. The left side rises
        with v from 0 at v = beta/alpha, which is the compute-optimal model, so the root is bracketed from there and
        bisected. Raises ValueError for a loss at or below E, inference tokens below 0 or a cost that is not positive.
        """
        _require_positive(train_cost_per_flop=train_cost_per_flop, inference_cost_per_flop=inference_cost_per_flop)
        if not (math.isfinite(inference_tokens) and inference_tokens >= 0):
            raise ValueError(f"inference_tokens must be 0 or a positive number, not {inference_tokens}")
        smallest = self.smallest_parameters(loss)

        def model(v: float) -> tuple[float, float]:
            """Return N and D on the line of equal loss."""
            tokens = (self.B * (1.0 + v) / (loss - self.E)) ** (1.0 / self.beta)
            return smallest * (1.0 + 1.0 / v) ** (1.0 / self.alpha), tokens

        def served(v: float) -> float:
            """Return the inference tokens for which v is the best."""
            return (
                3.0 * model(v)[1] * (v * self.alpha / self.beta - 1.0) * train_cost_per_flop / inference_cost_per_flop
            )

        low = high = self.beta / self.alpha
        while served(high) < inference_tokens:
            low, high = high, 2.0 * high
        middle = (low + high) / 2.0
        while low < middle < high:  # ends after some 50 halvings, at neighbouring floats
            low, high = (middle, high) if served(middle) < inference_tokens else (low, middle)
            middle = (low + high) / 2.0
        return model(high)


@cache
def _facts() -> Mapping[str, Sourced]:
    return sourced_table("gigawatt.training", "data/scaling_laws.csv")


@cache
def scaling_law(name: str = "epoch_refit") -> ScalingLaw:
    """Return a law by name, one of SCALING_LAWS.

    "epoch_refit" (arXiv 2404.10102, the default) agrees with the 20 tokens per parameter that Hoffmann and others found
    in two other ways and with the model that they trained; "hoffmann" is their third approach as printed and
    "hoffmann_unrounded" the same before rounding. Raises InputError for another name.
    """
    if name not in SCALING_LAWS:
        raise InputError(
            Problem(
                message="no such scaling law",
                found=repr(name),
                allowed=", ".join(SCALING_LAWS),
                nearest=nearest_name(name, list(SCALING_LAWS)),
            )
        )
    return ScalingLaw(name=name, **{key: _facts()[f"{name}.{key}"].best for key in COEFFICIENTS})


@overload
def steps_and_tokens(batch_tokens: float, critical_batch_tokens: float) -> tuple[float, float]: ...
@overload
def steps_and_tokens(batch_tokens: Numbers, critical_batch_tokens: Numbers) -> tuple[Numbers, Numbers]: ...
def steps_and_tokens(batch_tokens: Numbers, critical_batch_tokens: Numbers) -> tuple[Numbers, Numbers]:
    """Return steps over the fewest possible, 1 + B_crit/B, and tokens over the fewest possible, 1 + B/B_crit.

    (S/S_min - 1)*(E/E_min - 1) = 1 (McCandlish and others, arXiv 1812.06162; docs/science.md 9.3): at B = B_crit both
    are 2, a batch of B_crit/5 costs 20 % more tokens. B_crit is an average over the run; it is near 0 at the start and
    then levels off (arXiv 2505.23971), so that a growing batch does better than this. Raises ValueError unless both
    are positive.
    """
    _require_positive(batch_tokens=batch_tokens, critical_batch_tokens=critical_batch_tokens)
    return 1.0 + critical_batch_tokens / batch_tokens, 1.0 + batch_tokens / critical_batch_tokens


def critical_batch_tokens(data_tokens: float) -> Sourced:
    """Return an estimate of B_crit of `steps_and_tokens`, tokens: B_0*(D/D_0)^p with B_0, D_0 and p of
    data/scaling_laws.csv.

    Known (arXiv 2410.21676, 0.085e9 to 1.2e9 parameters): the batch that costs 20 % more steps than linear scaling
    grows with the data, about D^0.47, and hardly with the model. Ours: the conversion to B_crit (five times that
    batch), the units of the published fit, and the range, which widens away from the reference and is a factor of
    three to four either way for frontier runs. Optimizer and schedule move the level too; a measured value is always
    better. 15e12 tokens: 140e6, of 36e6 to 430e6. Raises ValueError unless the tokens are positive.
    """
    _require_positive(data_tokens=data_tokens)
    facts = _facts()
    level, exponent = facts["critical_batch.reference_tokens"], facts["critical_batch.exponent"]
    ratio = data_tokens / facts["critical_batch.reference_data_tokens"].best
    ends = ratio**exponent.low, ratio**exponent.high
    return Sourced(
        best=level.best * ratio**exponent.best,
        low=level.low * min(ends),
        high=level.high * max(ends),
        unit="",
        grade=Grade.ESTIMATE,
        source=exponent.source,
        date=exponent.date,
        label="critical batch, tokens",
        note="extrapolated with the data of the run; level and range are estimates",
    )


def repeated_data_tokens(unique: float, epochs: float) -> float:
    """Return the fresh tokens that `epochs` passes over `unique` tokens are worth: U + U*R*(1 - exp(-(epochs - 1)/R)).

    R = 15.4 repetitions (Muennighoff and others, arXiv 2305.16264; docs/science.md 9.4). 4 epochs are worth 3.7, 40 are
    worth 15.2, and no number more than 16.4. Below one epoch the tokens seen. Put the result in place of D in
    `ScalingLaw.loss`; the computing is still that of all passes. Raises ValueError unless both are positive.
    """
    _require_positive(unique=unique, epochs=epochs)
    if epochs <= 1:
        return unique * epochs
    decay = _facts()["repeated_data.decay"].best
    return unique * (1.0 - decay * math.expm1(-(epochs - 1.0) / decay))


def latency_wall_flop(
    run_s: float,
    layers: float,
    sync_per_layer: float,
    sync_s: float,
    batch_tokens: float,
    *,
    tokens_per_parameter: float = 20.0,
) -> float:
    """Return the largest training run, FLOP, that the latency of synchronisation allows, whatever the hardware
    (docs/science.md 10.2).

    A step takes at least k*L*t_sync, so a run sees D <= B*T/(k*L*t_sync) tokens, and C = 6*N*D with N = D/20 gives
    0.3*(B*T/(k*L*t_sync))^2. 90 days, 120 layers, 4 exchanges of 9 us in each and batches of 4e6 tokens: 1.6e31, the order
    of the 1e31 above which arXiv 2411.01137 finds runs of three months infeasible. The inputs are assumptions, and the
    wall moves with the square of the batch: take one that `critical_batch_tokens` supports. Raises ValueError unless all are positive.
    """
    _require_positive(
        run_s=run_s,
        layers=layers,
        sync_per_layer=sync_per_layer,
        sync_s=sync_s,
        batch_tokens=batch_tokens,
        tokens_per_parameter=tokens_per_parameter,
    )
    tokens = batch_tokens * run_s / (sync_per_layer * layers * sync_s)
    return TRAINING_FLOP / tokens_per_parameter * tokens**2


def _require_positive(**values: Numbers) -> None:
    """Raise ValueError for a value that is not finite and above 0 (for an array: that holds one)."""
    for name, value in values.items():
        if not np.all(np.isfinite(value) & np.greater(value, 0)):
            raise ValueError(f"{name} must be positive and finite, not {value}")
