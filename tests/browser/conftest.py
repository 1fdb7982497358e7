"""Pages in a real browser: Debian's Chromium, driven by Playwright, cut off from the network."""

import json
import shutil
from pathlib import Path

import pytest

import gigawatt
from gigawatt.planning import build_scenario, goodput_scenario, power_scenario, train_scenario
from gigawatt.report import build_page, goodput_page, plan_page, power_page, serving_page, train_page
from gigawatt.scenario import load_scenario

CHROMIUM = shutil.which("chromium")
EXAMPLES = Path(__file__).parents[2] / "examples"
BUILD = Path(__file__).parents[1] / "data" / "build-small.yaml"
SERVE = Path(__file__).parents[1] / "data" / "serve-report.json"
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
DRAWN = "document.querySelectorAll('[data-chart] svg').length === document.querySelectorAll('[data-chart]').length"


def pytest_collection_modifyitems(items):
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)
            if CHROMIUM is None:
                reason = "no 'chromium' on this machine (Debian: apt-get install chromium)"
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


def plan_of():
    return plan_page(gigawatt.plan(EXAMPLES / "colossus-100k.yaml").to_dict())


def train_of(name="Grok-1"):
    report = train_scenario(load_scenario(EXAMPLES / "training" / "grok-1-1024-h100.yaml", [f"name={name}"]))
    return train_page(report.to_dict(), report.timeline().to_dict())


def goodput_of(setting="reliability.policy=hot_spare"):
    scenario = load_scenario(EXAMPLES / "training" / "grok-1-1024-h100.yaml", [setting])
    return goodput_page(goodput_scenario(scenario, replicates=5).to_dict())


def power_of():
    scenario = load_scenario(EXAMPLES / "memphis-power.yaml", ["power.requirements=stabilisation"])
    return power_page(power_scenario(scenario, duration_s=600.0, resolution_s=0.05).to_dict())


def build_of(*settings):
    return build_page(build_scenario(load_scenario(BUILD, settings)).to_dict())


def serve_of(change=lambda report: report):
    return serving_page(change(json.loads(SERVE.read_text(encoding="utf-8"))))


@pytest.fixture
def serve_html():
    return serve_of


@pytest.fixture
def build_html():
    return build_of


@pytest.fixture
def train_html():
    return train_of


@pytest.fixture
def goodput_html():
    return goodput_of


@pytest.fixture(scope="session")
def pages(tmp_path_factory, study_folder):
    """The file of each kind of page."""
    folder = tmp_path_factory.mktemp("pages")
    made = {
        "plan": plan_of,
        "train": train_of,
        "goodput": goodput_of,
        "power": power_of,
        "build": build_of,
        "serve": serve_of,
    }
    for name, make in made.items():
        (folder / f"{name}.html").write_text(make(), encoding="utf-8")
    study = next(study_folder.glob("*.html"))
    return {"study": study, **{name: folder / f"{name}.html" for name in made}}


@pytest.fixture
def visit(browser):
    """Return a function that opens a file; `complaints` and `requests` of the page list what it said and asked for."""
    opened = []

    def visit(path, width=1280, scheme="light"):
        page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
        opened.append(page)
        page.complaints, page.requests = [], []
        page.on(
            "console",
            lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None,
        )
        page.on("pageerror", lambda error: page.complaints.append(str(error)))
        page.on("request", lambda request: page.requests.append(request.url))
        page.route(lambda url: not url.startswith(("file:", "data:")), lambda route: route.abort())
        page.goto(path.as_uri())
        page.wait_for_function(DRAWN)
        return page

    yield visit
    for page in opened:
        page.close()


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a page and returns its path."""

    def write(html):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        return path

    return write
