"""Scaling laws: loss against parameters and tokens, and the model that a budget of computing should train
(docs/science.md 9).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from gigawatt.catalog import sourced_table

FLOP_PER_PARAMETER_AND_TOKEN = 6.0
# How much more than the optimum an over-trained model may be searched over, in parameters.
SMALLEST_SHARE = 1e-3
GOLDEN = (math.sqrt(5.0) - 1.0) / 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingLaw:
    """L(N, D) = E + A / N^alpha + B / D^beta (Hoffmann et al., arXiv 2203.15556)."""

    name: str
    E: float
    A: float
    B: float
    alpha: float
    beta: float

    def loss(self, parameters: float, tokens: float) -> float:
        """Return the loss, nats per token, of N parameters trained on D tokens. Raises ValueError unless both are
        positive.
        """
        if min(parameters, tokens) <= 0:
            raise ValueError("a loss needs a positive number of parameters and of tokens")
        return float(self.E + self.A / parameters**self.alpha + self.B / tokens**self.beta)

    def compute_optimal(self, flop: float) -> tuple[float, float]:
        """Return the parameters and tokens of least loss for C = 6 N D.

        G = (alpha A / (beta B))^(1/(alpha+beta)), N = G (C/6)^(beta/(alpha+beta)). The refit at 5.76e23 FLOP: 7.2e10
        parameters, 18.4 tokens each. Raises ValueError unless the FLOPs are positive.
        """
        if flop <= 0:
            raise ValueError("a compute-optimal model needs a positive number of FLOPs")
        total = self.alpha + self.beta
        scale = (self.alpha * self.A / (self.beta * self.B)) ** (1.0 / total)
        product = flop / FLOP_PER_PARAMETER_AND_TOKEN
        parameters = scale * product ** (self.beta / total)
        return parameters, product / parameters

    def tokens_for(self, loss: float, parameters: float) -> float:
        """Return the tokens that bring N parameters to a loss: (B / (L - E - A N^-alpha))^(1/beta).

        Raises ValueError where N parameters never reach it.
        """
        left = loss - self.E - self.A / parameters**self.alpha
        if left <= 0:
            raise ValueError(
                f"{parameters:.3g} parameters never reach a loss of {loss:.4g}; their limit is {self.E + self.A / parameters**self.alpha:.4g}"
            )
        return float((self.B / left) ** (1.0 / self.beta))

    def over_trained(
        self, loss: float, inference_tokens: float, training_cost: float = 1.0, inference_cost: float = 1.0
    ) -> tuple[float, float]:
        """Return the parameters and training tokens that reach a loss at the least cost of training and inference,
        6 N D c_t + 2 N D_inf c_i (arXiv 2401.00448). Costs are per FLOP.

        Without inference it is the compute-optimal model. Raises ValueError for a loss at or below E.
        """
        if loss <= self.E:
            raise ValueError(f"no model reaches a loss of {loss:.4g}: the law's limit is {self.E:.4g}")
        smallest = (self.A / (loss - self.E)) ** (1.0 / self.alpha)

        def cost(log_parameters: float) -> float:
            parameters = math.exp(log_parameters)
            tokens = self.tokens_for(loss, parameters)
            return 6 * parameters * tokens * training_cost + 2 * parameters * inference_tokens * inference_cost

        low, high = math.log(smallest) + SMALLEST_SHARE, math.log(smallest) + 12.0
        best = _golden_section(cost, low, high)
        return math.exp(best), self.tokens_for(loss, math.exp(best))


def _golden_section(cost: Callable[[float], float], low: float, high: float, rounds: int = 120) -> float:
    """Return where a function with one minimum is least in an interval."""
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = cost(left), cost(right)
    for _ in range(rounds):
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - GOLDEN * (high - low)
            at_left = cost(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + GOLDEN * (high - low)
            at_right = cost(right)
    return (low + high) / 2.0


@cache
def scaling_law(name: str = "refit") -> ScalingLaw:
    """Return a law by name: "refit" (Besiroglu et al., arXiv 2404.10102, the default) or "hoffmann" as printed.

    Raises KeyError for another name.
    """
    facts = sourced_table("gigawatt.training", "data/scaling_laws.csv")
    return ScalingLaw(name=name, **{key: facts[f"{name}.{key}"].best for key in ("E", "A", "B", "alpha", "beta")})


def critical_batch_factors(batch: float, critical_batch: float) -> tuple[float, float]:
    """Return steps over their minimum, 1 + B_crit/B, and tokens over theirs, 1 + B/B_crit (arXiv 1812.06162).

    Raises ValueError unless both are positive.
    """
    if min(batch, critical_batch) <= 0:
        raise ValueError("a batch and the critical batch are positive")
    return 1.0 + critical_batch / batch, 1.0 + batch / critical_batch


def repeated_tokens(unique: float, repetitions: float, worth: float = 15.4) -> float:
    """Return the fresh tokens that repeated data is worth: U + U R* (1 - exp(-R/R*)) (arXiv 2305.16264).

    `repetitions` counts passes after the first.
    """
    return unique + unique * worth * (1.0 - math.exp(-repetitions / worth))


def latency_wall_flop(run_s: float, layers: int, exchanges_per_layer: float, exchange_s: float, batch: float) -> float:
    """Return the largest training run that the latency of exchanges allows, 0.3 (B T / (k L t))^2 FLOP
    (docs/science.md 10.2).

    90 days, 120 layers, 4 exchanges of 9 us and batches of 4e6 tokens: 1.6e31.
    """
    return 0.3 * (batch * run_s / (exchanges_per_layer * layers * exchange_s)) ** 2
