"""What people see: terminal, HTML, tables, JSON Schema. Shows plain data; computes nothing."""

from gigawatt.files import check_writable, make_folder, rows_to_csv, write_atomically
from gigawatt.report._build import print_build
from gigawatt.report._build_page import build_page
from gigawatt.report._charts import (
    Chart,
    Line,
    areas_chart,
    bars_chart,
    breakdown_chart,
    lines_chart,
    points_chart,
    shares_chart,
    timeline_chart,
    tornado_chart,
)
from gigawatt.report._goodput import print_goodput
from gigawatt.report._goodput_page import goodput_page
from gigawatt.report._page import Callout, Card, Cards, Cell, Code, Notes, Section, Table, Text, card, page
from gigawatt.report._plan_page import plan_page
from gigawatt.report._power import print_power
from gigawatt.report._power_page import power_page
from gigawatt.report._schema import plan_schema
from gigawatt.report._serving import print_serving
from gigawatt.report._serving_page import serving_page
from gigawatt.report._serving_residuals import serving_residuals_page
from gigawatt.report._serving_words import reach_words
from gigawatt.report._supply import print_supply
from gigawatt.report._tables import (
    print_cases,
    print_entry,
    print_listing,
    print_memory,
    print_residuals,
    print_serving_residuals,
)
from gigawatt.report._terminal import print_explanation, print_paths, print_plan
from gigawatt.report._trace import chrome_trace, write_trace
from gigawatt.report._train_page import train_page
from gigawatt.report._training import print_comparison, print_mix, print_train, strategy_words

__all__ = [
    "Callout",
    "Card",
    "Cards",
    "Cell",
    "Chart",
    "Code",
    "Line",
    "Notes",
    "Section",
    "Table",
    "Text",
    "areas_chart",
    "bars_chart",
    "breakdown_chart",
    "build_page",
    "card",
    "check_writable",
    "chrome_trace",
    "goodput_page",
    "lines_chart",
    "make_folder",
    "page",
    "plan_page",
    "plan_schema",
    "points_chart",
    "power_page",
    "print_build",
    "print_cases",
    "print_comparison",
    "print_entry",
    "print_explanation",
    "print_goodput",
    "print_listing",
    "print_memory",
    "print_mix",
    "print_paths",
    "print_plan",
    "print_power",
    "print_residuals",
    "print_serving",
    "print_serving_residuals",
    "print_supply",
    "print_train",
    "reach_words",
    "rows_to_csv",
    "serving_page",
    "serving_residuals_page",
    "shares_chart",
    "strategy_words",
    "timeline_chart",
    "tornado_chart",
    "train_page",
    "write_atomically",
    "write_trace",
]
