"use strict";
// Draws the charts of a page. Everything shown was computed before; this file only places it.
// Colours are the variables of report.css, so that a chart follows its page: light, dark, on paper.
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const ink = "var(--ink)", soft = "var(--soft)", rule = "var(--line)", paper = "var(--paper)", panel = "var(--panel)";
  const HUES = 10, PAPER_WIDTH = 680; // of a sheet between the margins that report.css sets
  const hue = (i) => `var(--hue-${i % HUES})`;
  const on = (i) => `var(--on-${i % 2})`; // text on a hue
  // lines are told apart by symbol as well, so that they survive a grey print
  const SYMBOLS = [["circle", "●"], ["rect", "■"], ["triangle", "▲"], ["diamond", "◆"], ["path://M0,0L10,0L5,9z", "▼"], ["emptyCircle", "○"], ["emptyRect", "□"], ["emptyTriangle", "△"]];
  const family = getComputedStyle(document.body).fontFamily;

  // text: its width in pixels, its lines in so much room, its value as people write it ---------------------------------
  const pen = document.createElement("canvas").getContext("2d");
  pen.font = `12px ${family}`;
  const wide = (text) => pen.measureText(text).width;
  const wrap = (text, room) => {
    const lines = [];
    for (const word of text.split(" ")) {
      const joined = lines.length ? `${lines.at(-1)} ${word}` : word;
      if (lines.length && wide(joined) <= room) lines[lines.length - 1] = joined;
      else lines.push(word);
    }
    return lines;
  };
  const short = (v) => Math.abs(v) >= 1e6 ? `${+(v / 1e6).toPrecision(3)}M` : Math.abs(v) >= 1e4 ? `${+(v / 1e3).toPrecision(3)}k` : String(+v.toPrecision(3));
  const say = (...lines) => lines.map((line) => echarts.format.encodeHTML(line)).join("<br>"); // a tooltip is HTML
  // the row of each label, {at, room} in order: the first row where it does not touch the one before
  const levels = (labels) => {
    const ends = [];
    return labels.map(({ at, room }) => {
      const found = ends.findIndex((end) => at - room / 2 > end + 6), level = found < 0 ? ends.length : found;
      ends[level] = at + room / 2;
      return level;
    });
  };

  // an axis of dates ("date" for its unit): values are milliseconds from 1970, in UTC
  const day = (ms) => new Date(ms).toISOString().slice(0, 10);
  const place = (v, unit) => unit === "date" ? day(v) : `${short(v)} ${unit}`;

  // parts of charts ------------------------------------------------------------------------------------------------------
  const margin = (rows, width) => 16 + Math.min(230, Math.max(110, width * 0.34), Math.max(...rows.map((row) => wide(row.label))));
  const names = (rows, left) => ({
    type: "category", inverse: true, data: rows.map((row) => row.label), axisTick: { show: false }, axisLine: { show: false },
    axisLabel: { show: left > 20, color: ink, formatter: (name) => wrap(name, left - 12).join("\n"), fontSize: 12, lineHeight: 13 },
  });
  const values = (unit, extra) => ({
    type: "value", name: unit, nameLocation: "middle", nameGap: 26, nameTextStyle: { color: soft },
    axisLabel: { color: soft, hideOverlap: true }, splitLine: { lineStyle: { color: rule } }, ...extra,
  });
  const along = (unit, extra) => unit !== "date" ? values(unit, extra) : values("", {
    ...extra, type: "time", axisTick: {}, axisLabel: { color: soft, hideOverlap: true, formatter: { year: "{yyyy}", month: "{MMM}", day: "{d} {MMM}" } },
  });
  // an axis that ends with what is drawn; its end is labelled where it is a round number
  const upTo = (end, width) => {
    const round = Math.abs(end / 10 - Math.round(end / 10)) < 1e-9;
    return { min: 0, max: round ? Math.round(end) : end, splitNumber: width < 600 ? 3 : 5, interval: round ? Math.round(end) / (width < 600 ? 2 : 4) : undefined, axisLabel: { color: soft, hideOverlap: true, showMaxLabel: round } };
  };
  const beside = (rows) => 14 + Math.max(...rows.map((row) => wide(row.text))); // room for the texts right of bars
  const bar = { type: "bar", barMaxWidth: 18, emphasis: { disabled: true } };
  const legend = (shown, width) => {
    let lines = 1, used = 0;
    for (const name of shown) {
      const item = wide(name) + 34;
      if (used + item > width) { lines += 1; used = 0; }
      used += item;
    }
    return { height: shown.length ? 22 * lines + 8 : 8, legend: { show: shown.length > 0, data: shown, top: 0, left: 0, textStyle: { color: ink }, itemWidth: 14, itemHeight: 10, itemGap: 10 } };
  };
  const hint = (row) => say(row.share ? `${row.label}: ${row.text} (${row.share})` : `${row.label}: ${row.text}`);

  // one function for each kind of chart: (chart, width) to the options of ECharts and the height of the chart -------------
  const draw = {
    bars: (chart, width, left = margin(chart.rows, width)) => ({
      height: 60 + 30 * chart.rows.length,
      grid: { left, right: beside(chart.rows), top: 8, bottom: 44 }, yAxis: names(chart.rows, left), xAxis: values(chart.unit, { splitNumber: width < 600 ? 3 : 5 }),
      series: [{
        ...bar, itemStyle: { color: hue(0) }, data: chart.rows.map((row) => row.value),
        label: { show: true, position: "right", color: ink, formatter: (p) => chart.rows[p.dataIndex].text },
      }],
      tooltip: { formatter: (p) => hint(chart.rows[p.dataIndex]) },
    }),

    // each bar begins where the one before ends; the last one of `total` begins at zero
    waterfall: (chart, width, left = margin(chart.rows, width)) => {
      let end = 0;
      const bars = chart.rows.map((row) => { const from = row.total ? 0 : end; end = from + row.value; return { from, to: end }; });
      const low = Math.min(0, ...bars.map((one) => one.to)), high = Math.max(0, ...bars.map((one) => one.to)), span = high - low;
      // a label right of its bar, left of one that ends near the edge, inside one that has no room on either side
      const label = ({ from, to }, shade) => Math.max(from, to) <= low + 0.72 * span ? { position: "right", color: ink } : Math.min(from, to) > low + 0.25 * span ? { position: "left", color: ink } : { position: "insideRight", color: on(shade) };
      const shade = (row) => row.total ? 4 : row.value < 0 ? 1 : 0;
      const stacked = { ...bar, stack: "all", stackStrategy: "all" };
      return {
        height: 60 + 30 * chart.rows.length,
        grid: { left, right: 24, top: 8, bottom: 44 }, yAxis: names(chart.rows, left), xAxis: values(chart.unit, low < 0 ? { splitNumber: width < 600 ? 2 : 5 } : upTo(high, width)),
        series: [
          { ...stacked, silent: true, itemStyle: { color: "transparent" }, data: bars.map((one) => one.from) },
          { ...stacked, data: chart.rows.map((row, i) => ({ value: row.value, itemStyle: { color: hue(shade(row)) }, label: { show: true, ...label(bars[i], shade(row)), formatter: row.text } })) },
        ],
        tooltip: { formatter: (p) => hint(chart.rows[p.dataIndex]) },
      };
    },

    // one bar per row, cut into the same parts; a part is named inside the bar where there is room
    shares: (chart, width) => {
      const top = legend(chart.parts, width), left = margin(chart.rows, width), right = 20;
      const inside = (part, text, value) => {
        const free = value / chart.end * (width - left - right) - 14;
        return wide(`${part} ${text}`) <= free ? `${part} ${text}` : wide(text) <= free ? text : "";
      };
      const text = (row, i) => row.texts?.[i] ?? (row.values[i] >= 1 ? String(Math.round(row.values[i])) : "");
      return {
        height: top.height + 48 + 34 * chart.rows.length,
        grid: { left, right, top: top.height, bottom: 44 }, legend: top.legend, yAxis: names(chart.rows, left), xAxis: values(chart.unit, upTo(chart.end, width)),
        series: chart.parts.map((part, i) => ({
          ...bar, name: part, stack: "all", barMaxWidth: 24, data: chart.rows.map((row) => row.values[i]),
          itemStyle: chart.hollow[i] ? { color: "transparent", borderColor: soft, borderWidth: 1, borderType: "dashed" } : { color: hue(i), borderColor: paper, borderWidth: 1 },
          label: { show: true, formatter: (p) => inside(part, text(chart.rows[p.dataIndex], i), p.value), color: chart.hollow[i] ? ink : on(i) },
        })),
        tooltip: { formatter: (p) => say(`${p.name ? `${p.name}, ` : ""}${p.seriesName}: ${chart.rows[p.dataIndex].texts?.[p.seriesIndex] ?? `${+p.value.toPrecision(3)} ${chart.unit}`}`) },
      };
    },

    tornado: (chart, width, left = margin(chart.rows, width)) => {
      const side = (key, i) => ({
        ...bar, stack: key, barMaxWidth: 16, barGap: "-100%", itemStyle: { color: hue(i) },
        name: `at the ${key} end of the assumption`, data: chart.rows.map((row) => row[key] - chart.base),
      });
      const all = chart.rows.flatMap((row) => [row.low, row.high, chart.base]);
      const sides = [side("low", 0), side("high", 1)], top = legend(sides.map((one) => one.name), width);
      return {
        height: top.height + 60 + 34 * chart.rows.length,
        grid: { left, right: 24, top: top.height, bottom: 44 }, legend: top.legend, yAxis: names(chart.rows, left),
        xAxis: values(chart.unit, { min: Math.min(...all) - chart.base, max: Math.max(...all) - chart.base, axisLabel: { color: soft, hideOverlap: true, formatter: (v) => short(v + chart.base) } }),
        series: sides,
        tooltip: { formatter: (p) => say(chart.rows[p.dataIndex].label, chart.rows[p.dataIndex].low_text, chart.rows[p.dataIndex].high_text) },
      };
    },

    // one line per row, named at its end; whiskers are [x, low, middle, high], bands name stretches of the axis, marks values
    lines: (chart, width) => {
      const BOTTOM = chart.x_unit === "date" ? 28 : 48, LINE = 15, many = chart.rows.length > 1;
      const xs = chart.rows.flatMap((row) => [...row.points, ...row.whiskers, ...row.envelope].map((point) => point[0])), first = Math.min(...xs), last = Math.max(...xs, first + 1e-9);
      const peak = Math.max(...chart.rows.flatMap((row) => [...row.points.map((point) => point[1]), ...row.whiskers.map((point) => point[3]), ...row.envelope.map((point) => point[2])]));
      const ten = 10 ** Math.floor(Math.log10(peak || 1)), above = ten * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * ten >= peak);
      const [low, high] = chart.y_range ?? [0, above], rise = chart.log_y ? Math.log : (v) => v;

      // room for the names right of the lines, for the marks above them
      const most = Math.min(200, width * 0.28), ends = chart.rows.map((row, i) => ({ i, at: row.points.at(-1)?.[1], lines: wrap(row.label, most) })).filter((end) => many && end.at !== undefined);
      const left = 60, right = ends.length ? 34 + Math.max(...ends.flatMap((end) => end.lines.map(wide))) : 24, plot = width - left - right;
      const scale = chart.log ? Math.log : (v) => v, at = (x) => (scale(x) - scale(first)) / (scale(last) - scale(first)) * plot;
      const marks = chart.marks.map((mark) => ({ ...mark, at: at(mark.x), room: wide(mark.text) })).sort((a, b) => a.at - b.at), rows = levels(marks);
      const top = 16 + (marks.length ? 4 + LINE * (1 + Math.max(...rows)) : 0), height = (chart.rows.length > 2 ? 364 : 284) + top;
      const bands = chart.bands.map((band) => {
        const from = at(band.from), to = at(band.to), lines = wrap(band.text, to - from - 8);
        return { ...band, lines, at: (from + to) / 2, room: Math.max(...lines.map(wide)) };
      });
      const steps = levels(bands), deep = Math.max(1, ...bands.map((band) => band.lines.length));

      // names keep a line of text between them: downwards first, then up again from the axis
      const pixel = (height - top - BOTTOM) / (rise(high) - rise(low));
      for (const end of ends) { end.at = (rise(low) - rise(Math.max(end.at, low))) * pixel; end.half = LINE * end.lines.length / 2; }
      ends.sort((a, b) => a.at - b.at);
      ends.forEach((end, n) => { end.placed = n ? Math.max(end.at, ends[n - 1].placed + ends[n - 1].half + end.half) : end.at; });
      ends.toReversed().forEach((end, n, all) => { end.placed = Math.min(end.placed, n ? all[n - 1].placed - all[n - 1].half - end.half : 0); });
      const name = new Map(ends.map((end) => [end.i, end]));

      const series = chart.rows.flatMap((row, i) => {
        const color = hue(i), [symbol, glyph] = SYMBOLS[i % SYMBOLS.length], every = Math.max(1, Math.round(row.points.length / 8)), end = name.get(i);
        const line = {
          name: row.label, type: "line", data: row.points, color, emphasis: { disabled: true }, lineStyle: { color, width: row.dashed ? 1.75 : 2.5, type: row.dashed ? "dashed" : "solid" },
          symbol, showSymbol: many, showAllSymbol: true, symbolSize: (_, p) => (p.dataIndex + i) % every ? 0 : 8,
          endLabel: { show: Boolean(end), formatter: () => end.lines.map((text, n) => `{${n ? "pad" : "mark"}|${n ? "" : glyph}}${text}`).join("\n"), rich: { mark: { color, width: 16 }, pad: { width: 16 } }, color: ink, lineHeight: LINE, distance: 8, offset: [0, end ? end.placed - end.at : 0] },
          markArea: i || !bands.length ? undefined : { silent: true, data: bands.map((band, n) => [{ xAxis: band.from, itemStyle: { color: n % 2 ? "transparent" : panel }, label: { formatter: band.lines.join("\n"), color: soft, fontSize: 12, lineHeight: LINE, position: "insideTop", distance: 5 + steps[n] * LINE * deep } }, { xAxis: band.to }]) },
          markLine: i || !marks.length ? undefined : {
            symbol: "none", silent: true, lineStyle: { color: soft, type: "dotted", width: 1.5 },
            data: marks.map((mark, n) => ({ xAxis: mark.x, label: { formatter: mark.text, color: ink, position: "end", rotate: 0, distance: 9 + LINE * rows[n] } })),
          },
        };
        const dots = {
          name: row.label, type: "custom", data: row.whiskers, color, clip: false, z: 3,
          renderItem: (params, api) => {
            const [x, from] = api.coord([api.value(0), api.value(1)]), [, middle] = api.coord([api.value(0), api.value(2)]), [, to] = api.coord([api.value(0), api.value(3)]);
            const stroke = { stroke: color, lineWidth: 2 };
            return { type: "group", children: [
              { type: "line", shape: { x1: x, y1: from, x2: x, y2: to }, style: stroke },
              ...[from, to].map((y) => ({ type: "line", shape: { x1: x - 4, y1: y, x2: x + 4, y2: y }, style: stroke })),
              { type: "circle", shape: { cx: x, cy: middle, r: 3 }, style: { fill: paper, stroke: color, lineWidth: 2 } },
            ] };
          },
        };
        const span = {
          type: "custom", data: [[first, low]], silent: true, z: 1,
          renderItem: (params, api) => ({
            type: "polygon", style: { fill: color, opacity: 0.22 },
            shape: { points: [...row.envelope.map(([x, , to]) => api.coord([x, to])), ...row.envelope.toReversed().map(([x, from]) => api.coord([x, from]))] },
          }),
        };
        return [...(row.envelope.length ? [span] : []), line, ...(row.whiskers.length ? [dots] : [])];
      });
      return {
        height, grid: { left, right, top, bottom: BOTTOM },
        xAxis: along(chart.x_unit, { type: chart.log ? "log" : "value", min: first, max: last, nameGap: 28, splitLine: { show: false }, axisTick: { customValues: chart.ticks }, axisLabel: { color: soft, hideOverlap: true, showMaxLabel: chart.ticks ? undefined : false, formatter: short, customValues: chart.ticks } }),
        yAxis: values(chart.unit, { type: chart.log_y ? "log" : "value", min: low, max: high, nameGap: 42, axisLabel: { color: soft, hideOverlap: true, formatter: short } }),
        series,
        tooltip: { formatter: (p) => say(`${p.seriesName}: ${place(p.value[0], chart.x_unit)}, ${+p.value[p.componentSubType === "custom" ? 2 : 1].toPrecision(4)} ${chart.unit}`) },
      };
    },

    // points of a symbol and colour per row, with a dashed line along the front; marks name values of the x axis
    points: (chart, width) => {
      const LINE = 15, left = 60, right = 24, top = legend([...chart.rows.map((row) => row.label), chart.front.label], width);
      const last = Math.max(...chart.rows.flatMap((row) => row.points.map((point) => 1.05 * point[0])), ...chart.marks.map((mark) => 1.2 * mark.x));
      const marks = chart.marks.map((mark) => ({ ...mark, at: mark.x / last * (width - left - right), room: wide(mark.text) })).sort((a, b) => a.at - b.at), rows = levels(marks);
      const above = top.height + 12 + (marks.length ? LINE * (1 + Math.max(...rows)) : 0);
      return {
        height: above + 348, grid: { left, right, top: above, bottom: 48 },
        legend: { ...top.legend, data: [...chart.rows.map((row) => row.label), { name: chart.front.label, icon: "path://M0,4h6v2h-6zM9,4h6v2h-6z" }] },
        xAxis: values(chart.x_unit, { min: 0, max: last, nameGap: 28, splitLine: { show: false }, axisLabel: { color: soft, hideOverlap: true, showMaxLabel: false, formatter: short } }),
        yAxis: values(chart.unit, { min: 0, nameGap: 42, axisLabel: { color: soft, hideOverlap: true, formatter: short } }),
        series: [
          ...chart.rows.map((row) => ({ name: row.label, type: "scatter", data: row.points, symbol: SYMBOLS[row.hue % SYMBOLS.length][0], symbolSize: 8, itemStyle: { color: hue(row.hue) }, emphasis: { disabled: true } })),
          {
            name: chart.front.label, type: "line", data: chart.front.points, symbol: "none", color: ink, lineStyle: { color: ink, width: 1.5, type: "dashed" }, silent: true,
            markLine: !marks.length ? undefined : {
              symbol: "none", silent: true, lineStyle: { color: soft, type: "dotted", width: 1.5 },
              data: marks.map((mark, n) => ({ xAxis: mark.x, label: { formatter: mark.text, color: ink, position: "end", rotate: 0, distance: 9 + LINE * rows[n] } })),
            },
          },
        ],
        tooltip: { formatter: (p) => say(`${p.seriesName}, ${p.value[2]}`, `${+p.value[0].toPrecision(3)} ${chart.x_unit}`, `${+p.value[1].toPrecision(3)} ${chart.unit}`) },
      };
    },

    // what adds up, over a linear axis or dates: one area per row, a line for what they add up to. `held` values stand to
    // the next; rows that do not add up (`filled` false) are lines, with gaps where there is no value
    areas: (chart, width) => {
      const shown = [...chart.rows.map((row) => row.label), ...(chart.line ? [chart.line.label] : [])], top = legend(shown, width), x = chart.x;
      const pairs = (row) => row.values.map((value, i) => [x[i], value]), step = chart.held ? "end" : false, bottom = chart.x_unit === "date" ? 28 : 48;
      const part = (row, i) => {
        const color = hue(row.hue ?? i), type = ["solid", "dashed", "dotted"][i % 3];
        return chart.filled ? { stack: "all", color, lineStyle: { width: 0 }, areaStyle: { color, opacity: 0.9 } } : { color, lineStyle: { color, width: 2.5, type } };
      };
      return {
        height: top.height + 252 + bottom, legend: top.legend, grid: { left: 60, right: 24, top: top.height + 8, bottom },
        xAxis: along(chart.x_unit, { min: x[0], max: x.at(-1), nameGap: 28, splitLine: { show: false } }),
        yAxis: values(chart.unit, { min: 0, max: chart.end ?? undefined, nameGap: 42, axisLabel: { color: soft, hideOverlap: true, formatter: short } }),
        series: [
          ...chart.rows.map((row, i) => ({ name: row.label, type: "line", step, data: pairs(row), symbol: "none", emphasis: { disabled: true }, ...part(row, i) })),
          ...(chart.line ? [{ name: chart.line.label, type: "line", step, data: pairs(chart.line), symbol: "none", color: ink, lineStyle: { color: ink, width: 1.5 }, emphasis: { disabled: true } }] : []),
        ],
        tooltip: { trigger: "axis", formatter: (points) => say(place(points[0].value[0], chart.x_unit), ...points.filter((p) => typeof p.value[1] === "number" && (p.value[1] || shown.length < 5)).map((p) => `${p.seriesName}: ${+p.value[1].toPrecision(4)} ${chart.unit}`)) },
      };
    },

    timeline: (chart, width) => {
      const kinds = [...new Set(chart.rows.map((row) => row.label))], rows = Map.groupBy(chart.rows, (row) => row.label), of = (kind) => rows.get(kind), end = Math.max(...chart.rows.map((row) => row.end)), top = legend(chart.legend, width), left = 4 + margin(chart.lanes.map((label) => ({ label })), width);
      return {
        height: top.height + 56 + 36 * chart.lanes.length,
        grid: { left, right: 20, top: top.height, bottom: 44 }, legend: top.legend,
        yAxis: { type: "category", inverse: true, data: chart.lanes, axisTick: { show: false }, axisLabel: { color: ink, formatter: (name) => wrap(name, left - 12).join("\n"), lineHeight: 13 }, axisLine: { show: false } },
        xAxis: chart.unit === "date" ? along("date", { min: Math.min(...chart.rows.map((row) => row.start)), max: end }) : values(chart.unit, upTo(end, width)),
        series: kinds.map((kind, i) => ({
          name: kind, type: "custom", itemStyle: { color: hue(i) }, encode: { x: [1, 2], y: 0 },
          data: of(kind).map((row) => ({ value: [chart.lanes.indexOf(row.lane), row.start, row.end], text: row.text, name: row.name })),
          renderItem: (params, api) => {
            const from = api.coord([api.value(1), api.value(0)]), to = api.coord([api.value(2), api.value(0)]);
            const height = Math.min(24, api.size([0, 1])[1] * 0.62), across = Math.max(to[0] - from[0], 1);
            const { name, lane } = of(kind)[params.dataIndex], inside = name !== lane && across > wide(name) + 8;
            return {
              type: "rect", shape: { x: from[0], y: from[1] - height / 2, width: across, height },
              style: { fill: hue(i), stroke: paper, lineWidth: across > 4 ? 1 : 0 },
              textContent: inside ? { style: { text: name, fill: on(i), fontSize: 12, fontFamily: family } } : undefined, textConfig: { position: "inside" },
            };
          },
        })),
        tooltip: { formatter: (p) => say(`${p.data.name}: ${p.data.text}`) },
      };
    },
  };

  const tooltip = { backgroundColor: panel, borderColor: rule, textStyle: { color: ink }, confine: true };
  const drawn = new Map();
  const render = (onPaper) => {
    for (const chart of charts) {
      const box = document.querySelector(`[data-chart="${chart.id}"]`), width = onPaper ? Math.min(PAPER_WIDTH, box.clientWidth) : box.clientWidth;
      if (!width) continue; // folded away
      const { height, ...option } = draw[chart.kind](chart, width);
      drawn.get(chart.id)?.dispose();
      box.style.height = `${height}px`;
      const instance = echarts.init(box, null, { renderer: "svg", width, height });
      instance.setOption({ animation: false, useUTC: true, color: Array.from({ length: HUES }, (_, i) => hue(i)), textStyle: { fontFamily: family }, ...option, tooltip: { ...tooltip, ...option.tooltip } });
      box.querySelector("svg").setAttribute("aria-hidden", "true"); // its label says what it shows
      drawn.set(chart.id, instance);
    }
  };
  render(false);
  window.addEventListener("beforeprint", () => render(true));
  window.addEventListener("afterprint", () => render(false));
  let pending;
  window.addEventListener("resize", () => { clearTimeout(pending); pending = setTimeout(() => render(false), 150); });

  for (const box of document.querySelectorAll(".filtered")) {
    const input = box.querySelector("input"), rows = [...box.querySelectorAll("tbody tr")], shown = box.querySelector("output");
    const apply = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let count = 0;
      for (const row of rows) {
        row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
        count += !row.hidden;
      }
      shown.textContent = `${count} of ${rows.length}`;
    };
    input.addEventListener("input", apply);
    apply();
  }
})();
