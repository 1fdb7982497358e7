"""How a number came about: a walk from an output over the outputs it names, down to sourced inputs."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from typing import Any

from gigawatt.errors import InputError, Problem, nearest_name
from gigawatt.evidence import Output, Sourced
from gigawatt.planning._result import Plan

FUNCTIONS: dict[str, Any] = {
    "min": min,
    "max": max,
    "floor": math.floor,
    "ceil": math.ceil,
    "sqrt": math.sqrt,
    "exp": math.exp,
    "expm1": math.expm1,
    "log": math.log,
}


def explain(plan: Plan, path: str) -> dict[str, Any]:
    """Return the tree of how the number at `path` came about, as nested plain data.

    A node of an output has label, path, value, low, high, unit, formula, method and children; a leaf (an assumption)
    has source, date and grade besides. A number that occurs twice is expanded once; later occurrences carry "seen":
    True. Raises InputError for a path that is neither an output nor an assumption of the plan.
    """
    names = [*plan.outputs, *plan.assumptions]
    if path not in names:
        raise InputError(
            Problem(
                message=f"the plan has no number called {path!r}",
                allowed=f"an output path such as {', '.join(list(plan.outputs)[:4])}, or an assumption path",
                nearest=next((name for name in names if name.endswith(f".{path}")), None) or nearest_name(path, names),
            )
        )
    return _node(plan, path, symbol="", seen=set())


def _node(plan: Plan, path: str, symbol: str, seen: set[str]) -> dict[str, Any]:
    if path in plan.assumptions:
        sourced = plan.assumptions[path]
        return {"path": path, "symbol": symbol, "value": sourced.best, **sourced.to_dict(), "children": []}
    output = plan.outputs[path]
    low, high = plan.interval(path)
    node = {"path": path, "symbol": symbol, **output.to_dict(), "low": low, "high": high, "children": []}
    del node["inputs"]
    if path in seen:
        return node | {"seen": True}
    seen.add(path)
    node["children"] = [_node(plan, child, name, seen) for name, child in output.inputs.items()]
    return node


def evaluate_formula(output: Output, outputs: Mapping[str, Output], assumptions: Mapping[str, Sourced]) -> float:
    """Return the value of `output.formula` over the values of its inputs (the check that an explanation is true).

    Raises KeyError where an input has no such path, ValueError where the formula is not a plain expression.
    """
    symbols = {
        name: assumptions[path].best if path in assumptions else outputs[path].value
        for name, path in output.inputs.items()
    }
    tree = ast.parse(output.formula, mode="eval")
    for node in ast.walk(tree):
        if not isinstance(node, _ALLOWED):
            raise ValueError(f"{output.formula!r} is not a plain expression ({type(node).__name__})")
    return float(eval(compile(tree, "<formula>", "eval"), {"__builtins__": {}}, FUNCTIONS | symbols))


_ALLOWED = (
    ast.Expression,
    ast.BinOp,
    ast.UnaryOp,
    ast.Call,
    ast.Name,
    ast.Load,
    ast.Constant,
    ast.operator,
    ast.unaryop,
)
