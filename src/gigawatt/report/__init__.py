"""What people see: terminal, HTML, tables, JSON Schema. Shows plain data; computes nothing."""

from gigawatt.report._files import check_writable, make_folder, rows_to_csv, write_atomically
from gigawatt.report._goodput import print_goodput
from gigawatt.report._goodput_page import goodput_page, write_goodput_html
from gigawatt.report._html import render_html, write_html
from gigawatt.report._schema import plan_schema
from gigawatt.report._study_page import (
    Line,
    StudySection,
    StudyTable,
    bars_chart,
    lines_chart,
    shares_chart,
    study_page,
)
from gigawatt.report._tables import print_cases, print_entry, print_listing, print_memory, print_residuals
from gigawatt.report._terminal import print_explanation, print_paths, print_plan
from gigawatt.report._trace import chrome_trace, write_trace
from gigawatt.report._train_page import train_page, write_train_html
from gigawatt.report._training import print_comparison, print_mix, print_train, strategy_words

__all__ = [
    "Line",
    "StudySection",
    "StudyTable",
    "bars_chart",
    "check_writable",
    "chrome_trace",
    "goodput_page",
    "lines_chart",
    "make_folder",
    "plan_schema",
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
    "print_residuals",
    "print_train",
    "render_html",
    "rows_to_csv",
    "shares_chart",
    "strategy_words",
    "study_page",
    "train_page",
    "write_atomically",
    "write_goodput_html",
    "write_html",
    "write_trace",
    "write_train_html",
]
