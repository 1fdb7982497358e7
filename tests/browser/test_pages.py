"""What every page keeps: drawn without network or errors, readable by name, no wider than the screen, light or dark."""

import pytest

KINDS = ("plan", "train", "goodput", "power", "build", "serve", "study")
VIEWS = {"wide": (1280, "light"), "dark phone": (390, "dark")}
HEADINGS = {
    "plan": (
        "The answer",
        "Limits",
        "What would help",
        "Training",
        "The run and its failures",
        "Power and money",
        "What the answer depends on",
        "Assumptions",
    ),
    "train": ("The answer", "One step", "What a step depends on", "Alternatives"),
    "goodput": ("The answer", "Where the time goes", "Interruptions by cause", "Checkpoints and spares", "Policies"),
    "power": (
        "The answer",
        "By the moment",
        "Spectrum and ramps",
        "What the grid asks",
        "What would calm it",
        "Power caps",
        "The year",
    ),
    "build": (
        "The answer",
        "What limits, and what more is worth",
        "Fleet and power",
        "Under delays",
        "Money",
    ),
    "serve": (
        "The answer",
        "Traffic",
        "Chips compared",
        "Throughput against interactivity",
        "The day",
        "Latencies",
        "Cache and load",
        "Cost",
        "Months",
        "Images",
        "Launch",
        "Notes",
    ),
    "study": (
        "The answer",
        "1. Goodput: six ways to recover",
        "2. The step: what a larger fleet does to it",
        "3. Useful tokens, the limit that binds, and the largest useful fleet",
        "4. What moves the limit",
        "5. Many sites",
        "6. Caveats",
    ),
}
OPEN_ALL = "document.querySelectorAll('details').forEach((part) => { part.open = true; })"
# texts of a chart that touch one another or leave the chart, as [chart, text, text]
TOUCHING = """() => [...document.querySelectorAll('[data-chart]')].flatMap((chart) => {
  const box = chart.getBoundingClientRect();
  const texts = [...chart.querySelectorAll('svg text')].filter((text) => text.textContent.trim())
    .map((text) => ({ text: text.textContent, at: text.getBoundingClientRect() }));
  const out = texts.filter(({ at }) => at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1)
    .map(({ text }) => [chart.dataset.chart, text, 'leaves the chart']);
  const touch = (a, b) => a.left < b.right && b.left < a.right && a.top + 3 < b.bottom && b.top + 3 < a.bottom;
  return out.concat(texts.flatMap((one, i) => texts.slice(i + 1).filter((other) => touch(one.at, other.at))
    .map((other) => [chart.dataset.chart, one.text, other.text])));
})"""
# contrast of every text on its page, the least; texts in charts stand on what is drawn and are tested by their colours
FAINT = """() => {
  const channel = (c) => { c /= 255; return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4; };
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (rgb) => 0.2126 * channel(rgb[0]) + 0.7152 * channel(rgb[1]) + 0.0722 * channel(rgb[2]);
  const behind = (node) => {
    for (; node; node = node.parentElement) {
      const color = parse(getComputedStyle(node).backgroundColor);
      if (color.length < 4 || color[3] > 0) return color;
    }
  };
  return Math.min(...[...document.querySelectorAll('body :not(script, svg *)')]
    .filter((node) => [...node.childNodes].some((child) => child.nodeType === 3 && child.textContent.trim()) && node.checkVisibility())
    .map((node) => { const [a, b] = [light(parse(getComputedStyle(node).color)), light(behind(node))].sort((x, y) => x - y); return (b + 0.05) / (a + 0.05); }));
}"""


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture(params=VIEWS)
def page(request, visit, pages, kind):
    return visit(pages[kind], *VIEWS[request.param])


def test_a_page_keeps_the_rules(page, pages, kind):
    assert page.complaints == []
    assert page.requests == [pages[kind].as_uri()]
    for heading in HEADINGS[kind]:
        assert page.get_by_role("heading", name=heading, exact=True, level=2).count() == 1
        assert page.get_by_role("region", name=heading, exact=True).count() == 1
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.evaluate("new Set([...document.querySelectorAll('[id]')].map((node) => node.id)).size") == (
        page.locator("[id]").count()
    )
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(TOUCHING) == []
    page.evaluate(OPEN_ALL)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert page.evaluate(FAINT) >= 4.5
    assert page.complaints == []


def test_every_chart_is_drawn_named_and_has_a_table(page):
    figures = page.get_by_role("figure")
    assert figures.count() == page.locator("[data-chart]").count() >= 3
    for index in range(figures.count()):
        figure = figures.nth(index)
        chart = figure.get_by_role("img")
        name = chart.get_attribute("aria-label")
        assert len(name) > 10
        box = chart.bounding_box()
        assert box["width"] > 250, name
        assert box["height"] > 80, name
        marks = chart.locator("svg path[fill]:not([fill='none']):not([fill='transparent']), svg path[stroke]").count()
        assert marks >= 2, name
        assert chart.locator("svg text").count() >= 2, name
        assert len(figure.locator("figcaption span").inner_text()) > 10, name
        summary = figure.locator("summary")
        assert summary.inner_text().startswith("Numbers of"), name
        if index == 0:
            summary.focus()
            page.keyboard.press("Enter")
        else:
            figure.locator("details").evaluate("(part) => { part.open = true; }")
        table = figure.get_by_role("table")
        assert table.is_visible(), name
        assert table.get_by_role("columnheader").count() >= 2, name
        assert table.get_by_role("rowheader").count() >= 1, name


def test_a_dark_page_is_printed_dark_on_light(visit, pages, kind):
    page = visit(pages[kind], 1280, "dark")
    page.emulate_media(media="print", color_scheme="dark")
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert page.evaluate(FAINT) >= 4.5
    assert page.evaluate("Math.max(...[...document.querySelectorAll('svg')].map((one) => one.clientWidth)) <= 680")


def test_one_kind_of_page_names_what_its_reader_looks_for(visit, pages):
    plan = visit(pages["plan"])
    assert plan.get_by_role("heading", level=1).inner_text() == "Colossus on H100"
    assert plan.get_by_role("img", name="One training step").count() >= 1
    assert "What binds" in plan.get_by_role("note").inner_text()
    train = visit(pages["train"])
    for label in ("HFU", "accelerators that work"):
        assert train.get_by_role("term").filter(has_text=label).count() == 1
    assert train.get_by_text("--strategy 'tp=").count() == 1
    goodput = visit(pages["goodput"])
    assert "best" in goodput.get_by_role("img", name="Goodput by work between saves").text_content()
    assert "hot spare" in goodput.get_by_role("img", name="Policies").text_content()
    causes = goodput.get_by_role("region", name="Interruptions by cause", exact=True).get_by_role("table")
    assert causes.get_by_role("rowheader", name="HBM", exact=True).count() == 1
    study = visit(pages["study"])
    fleet = study.get_by_role("img", name="Useful tokens per second against fleet size")
    for word in ("hot", "restart", "elastic"):
        assert word in fleet.text_content()
    inputs = study.get_by_role("group", name="Inputs, estimates first").get_by_role("rowheader").all_inner_texts()
    assert len(inputs) > 20
    assert not [name for name in inputs if "_" in name or "." in name]


def test_a_long_name_does_not_widen_the_page(visit, write, train_html):
    page = visit(write(train_html("Grok-1-with-a-name-that-has-no-blank-and-would-not-fit")), 390)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    shown = page.get_by_role("img", name="One training step").text_content()
    assert "backward" in shown
    assert "optimizer" not in shown  # far below a pixel


def test_a_fleet_in_which_nothing_fails_is_drawn_too(visit, write, goodput_html):
    page = visit(write(goodput_html("reliability.failure_rate=0 /day")), 390)
    assert page.complaints == []
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")


def test_a_build_out_is_drawn_over_dates_and_with_a_value_below_zero(visit, write, build_html):
    page = visit(write(build_html()), 400, "dark")
    for name, words in (("What limits useful compute longest", "2025"), ("Net present value", "-$")):
        assert words in page.get_by_role("img", name=name).text_content()
    assert page.evaluate(TOUCHING) == []
    assert page.complaints == []


def test_a_serving_page_names_chips_promises_and_commands(visit, pages):
    page = visit(pages["serve"])
    front = page.get_by_role("img", name="chat: output of a chip against the rate that one user sees")
    for words in ("GB200", "H100 SXM", "front", "TPOT 40 ms"):
        assert words in front.text_content()
    chips = page.get_by_role("group", name="chat: what each chip costs and draws")
    assert "least money" in chips.get_by_role("rowheader", name="TPU v7 Ironwood").first.inner_text()
    assert "TTFT 2 s at P95" in page.get_by_role("img", name="chat, TTFT").text_content()
    command = page.get_by_role("group", name="chat on vLLM")
    assert command.inner_text().splitlines()[1] == "  --tensor-parallel-size 4 \\"


def test_a_promise_far_from_what_is_reached_stays_on_its_chart(visit, write, serve_html):
    def strict_and_lax(report):
        for traffic, promise in zip(report["traffic"], ((0.001, 0.001), (60.0, 1.0)), strict=True):
            traffic["promise"] |= dict(zip(("ttft_s", "tpot_s"), promise, strict=True))
        return report

    for width in (390, 1280):
        page = visit(write(serve_html(strict_and_lax)), width)
        assert page.complaints == []
        assert page.evaluate(TOUCHING) == []


def test_the_filter_finds_assumptions(visit, pages):
    page = visit(pages["plan"])
    box = page.get_by_label("Filter assumptions")
    section = page.get_by_role("region", name="Assumptions", exact=True)
    rows, shown = section.locator(".filtered tbody tr:visible"), section.get_by_role("status")
    total = rows.count()
    box.fill("cooling")
    found = rows.count()
    assert 0 < found < total
    assert shown.inner_text() == f"{found} of {total}"
    box.fill("no such thing")
    assert rows.count() == 0
    box.fill("")
    assert rows.count() == total
