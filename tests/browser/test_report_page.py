"""The saved report in a real browser: Debian's Chromium, driven by Playwright."""

import shutil
from pathlib import Path

import pytest

import gigawatt
from gigawatt.planning import goodput_scenario, train_scenario
from gigawatt.report import write_goodput_html, write_html, write_train_html
from gigawatt.scenario import load_scenario

CHROMIUM = shutil.which("chromium")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no 'chromium' on this machine (Debian: apt-get install chromium)"),
]
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="module")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    path = tmp_path_factory.mktemp("report") / "plan.html"
    write_html(gigawatt.plan(Path(__file__).parents[2] / "examples" / "colossus-100k.yaml").to_dict(), path)
    return path


@pytest.fixture(params=[(1280, "light"), (390, "dark")], ids=["wide", "narrow dark"])
def page(request, browser, report):
    width, scheme = request.param
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.complaints, page.requests = [], []
    page.on(
        "console",
        lambda message: page.complaints.append(message.text) if message.type in ("error", "warning") else None,
    )
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("request", lambda request: page.requests.append(request.url))
    page.goto(report.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('[data-chart] svg').length === document.querySelectorAll('[data-chart]').length"
    )
    yield page
    page.close()


@pytest.mark.parametrize("width", [1280, 420])
def test_the_page_of_a_step(browser, tmp_path, width):
    scenario = Path(__file__).parents[2] / "examples" / "training" / "grok-1-1024-h100.yaml"
    report = train_scenario(load_scenario(scenario, ["name=Grok-1-with-a-name-that-has-no-blank-and-would-not-fit"]))
    path = tmp_path / "step.html"
    write_train_html(report.to_dict(), report.timeline().to_dict(), path)
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(path.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('[data-chart] svg').length === document.querySelectorAll('[data-chart]').length"
    )
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown = page.locator("figure#timeline svg").text_content()
    assert "backward" in shown
    assert "optimizer" not in shown  # far below a pixel
    for label in ("HFU", "accelerators that work"):
        assert page.get_by_text(label, exact=True).count() == 1
    assert page.get_by_text("--strategy 'tp=").count() == 1
    page.close()


@pytest.mark.parametrize("width", [1280, 420])
@pytest.mark.parametrize("rate", ["reliability.policy=hot_spare", "reliability.failure_rate=0 /day"])
def test_the_page_of_goodput(browser, tmp_path, width, rate):
    scenario = Path(__file__).parents[2] / "examples" / "training" / "grok-1-1024-h100.yaml"
    path = tmp_path / "goodput.html"
    write_goodput_html(goodput_scenario(load_scenario(scenario, [rate]), replicates=5).to_dict(), path)
    page = browser.new_page(viewport={"width": width, "height": 900})
    complaints = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(path.as_uri())
    page.wait_for_function(
        "document.querySelectorAll('[data-chart] svg').length === document.querySelectorAll('[data-chart]').length"
    )
    page.evaluate("document.querySelectorAll('details').forEach((part) => { part.open = true; })")
    assert complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert "best" in page.locator("figure#interval svg").text_content()
    assert page.locator("figure#interval details tbody tr").count() > 20
    for title in ("The answer", "Where the time goes", "Interruptions by cause", "Checkpoints and spares", "Policies"):
        assert page.get_by_role("heading", name=title, exact=True).count() == 1
    page.close()


def test_no_error_and_no_request(page, report):
    assert page.complaints == []
    assert page.requests == [report.as_uri()]


def test_every_chart_is_drawn_named_and_has_a_table(page):
    charts = page.locator("[data-chart]")
    assert charts.count() >= 10
    for index in range(charts.count()):
        chart = charts.nth(index)
        name = chart.get_attribute("data-chart")
        assert len(chart.get_attribute("aria-label")) > 10, name
        assert chart.get_attribute("role") == "img", name
        box = chart.bounding_box()
        assert box["width"] > 250, name
        assert box["height"] > 100, name
        marks = chart.locator("svg path[fill]:not([fill='none']):not([fill='transparent']), svg rect[fill]").count()
        assert marks >= 2, name
        assert chart.locator("svg text").count() >= 2, name
        rows = page.locator(f"figure#{name} details table tbody tr")
        assert rows.count() >= 1, name


def test_labels_are_reachable(page):
    assert page.get_by_role("heading", level=1).inner_text() == "Colossus on H100"
    for title in (
        "The answer",
        "Limits",
        "What would help",
        "Training",
        "The run and its failures",
        "Power and money",
        "Assumptions",
    ):
        assert page.get_by_role("heading", name=title, exact=True).count() == 1
    assert page.get_by_role("img", name="One training step").count() >= 1
    assert "What binds" in page.get_by_role("note").inner_text()


def test_the_page_does_not_scroll_sideways(page):
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_filter_finds_assumptions(page):
    box = page.get_by_label("Filter assumptions")
    total = page.locator("#assumption-table tbody tr:visible").count()
    box.fill("cooling")
    found = page.locator("#assumption-table tbody tr:visible").count()
    assert 0 < found < total
    assert page.locator("#shown").inner_text() == f"{found} of {total}"
    box.fill("no such thing")
    assert page.locator("#assumption-table tbody tr:visible").count() == 0
    box.fill("")
    assert page.locator("#assumption-table tbody tr:visible").count() == total


def test_tables_open_with_the_keyboard(page):
    summary = page.locator("figure#step_time summary")
    summary.focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("cell", name="matrix products").first.is_visible()
