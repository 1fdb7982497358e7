"""What breaks first from 100,000 to a million accelerators, and what moves the limit.

    .venv/bin/python examples/studies/colossus-100k-to-1m/study.py

writes colossus-100k-to-1m.html and its JSON twin beside this file. The flow: scenario -> findings -> page.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from findings import Study, findings
from page import html_of

from gigawatt.report import check_writable, make_folder, write_atomically

NAME = "colossus-100k-to-1m"


def main() -> None:
    """Write the page and its twin."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the page (beside this file)")
    parser.add_argument("--replicates", type=int, default=40, help="simulated runs of each size and policy")
    parser.add_argument("--seed", type=int, default=1, help="seed of the simulations")
    asked = parser.parse_args()
    if asked.replicates < 1:
        parser.error(f"--replicates must be at least 1, not {asked.replicates}")
    make_folder(asked.out)
    twin, html = asked.out / f"{NAME}.json", asked.out / f"{NAME}.html"
    for path in (twin, html):
        check_writable(path)
    begun = time.perf_counter()
    found = findings(Study(replicates=asked.replicates, seed=asked.seed))
    page, conclusions = html_of(found)
    found["conclusions"] = [{"about": about, "says": sentence} for about, sentence in conclusions]
    write_atomically(twin, json.dumps(found, indent=1, allow_nan=False) + "\n")
    write_atomically(html, page)
    print(f"{html} and {twin.name} written in {time.perf_counter() - begun:.0f} s")
    for about, sentence in conclusions:
        print(f"- {about}: {sentence}")


if __name__ == "__main__":
    main()
