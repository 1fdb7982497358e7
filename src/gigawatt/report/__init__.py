"""What people see: terminal, HTML, tables, JSON Schema. Shows plain data; computes nothing."""

from gigawatt.report._files import rows_to_csv, write_atomically
from gigawatt.report._html import render_html, write_html
from gigawatt.report._schema import plan_schema
from gigawatt.report._tables import print_cases, print_entry, print_listing, print_residuals
from gigawatt.report._terminal import print_explanation, print_paths, print_plan

__all__ = [
    "plan_schema",
    "print_cases",
    "print_entry",
    "print_explanation",
    "print_listing",
    "print_paths",
    "print_plan",
    "print_residuals",
    "render_html",
    "rows_to_csv",
    "write_atomically",
    "write_html",
]
