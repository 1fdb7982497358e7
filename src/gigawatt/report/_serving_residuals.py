"""The page of `gigawatt validate serving --out`: how large the errors are, drawn, and the tables of the residuals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gigawatt.report._charts import Chart, Line, lines_chart
from gigawatt.report._page import Section, Table, page
from gigawatt.report._tables import SERVING_TITLES, residual_cells

KINDS = {
    "": "this model",
    "without_chip": "fitted without the chip",
    "without_model": "fitted without the model",
    "baseline": "roofline with one constant",
}
# Errors beyond this, in %, are not drawn; the table has them.
DRAWN = 100.0
# Every so many hundredths stand in the table under a chart.
TABLED = 10


def serving_residuals_page(result: Mapping[str, Any]) -> str:
    """Return the page of residuals (`gigawatt.validation.validate_serving`)."""
    summary = result["summary"]
    sections = [
        Section(
            title=title.capitalize(),
            blocks=[
                _error_chart(quantity, title, summary[quantity]["distribution"]),
                Table(columns=list(residual_cells(summary[quantity])[0]), rows=residual_cells(summary[quantity])[1]),
            ],
        )
        for quantity, title in SERVING_TITLES.items()
        if quantity in summary
    ]
    return page(
        kind="validate serving",
        title="Serving against published measurements",
        facts=f"{summary['predicted']} of {summary['measurements']} rows predicted",
        sections=sections,
        foot=[],
    )


def _error_chart(quantity: str, title: str, found: Mapping[str, Any]) -> Chart:
    lines = [
        Line(
            label=label,
            points=[(error, 100.0 * share) for error, share in found[kind] if error <= DRAWN],
            dashed=kind == "baseline",
        )
        for kind, label in KINDS.items()
        if found.get(kind)
    ]
    first = found[""][::TABLED]
    columns = [kind for kind in KINDS if found.get(kind)]
    table = [
        [f"{share:.0%}", *(f"{found[kind][i * TABLED][0]:.1f} %" for kind in columns)]
        for i, (_, share) in enumerate(first)
    ]
    return lines_chart(
        f"errors-{quantity}",
        f"How many rows have an error of at most so much: {title}",
        "Absolute error of every published row; errors without a chip or a model come from constants fitted without their rows.",
        lines,
        x_unit="% error",
        unit="% of the rows",
        columns=["of the rows", *(KINDS[kind] for kind in columns)],
        table=table,
        log=False,
        y_range=(0.0, 100.0),
    )
