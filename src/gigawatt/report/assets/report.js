"use strict";
// Draws the charts of a saved plan. Everything shown was computed before; this file only places it.
(() => {
  const charts = JSON.parse(document.getElementById("chart-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  // Okabe and Ito's colours, readable with every kind of colour vision
  const palette = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#8c8c8c", "#b8a200", "#7a5195", "#444f5a"];
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  const labels = (rows, room) => ({
    type: "category", inverse: true, data: rows.map((row) => row.label), axisTick: { show: false }, axisLine: { show: false },
    axisLabel: { color: css("--ink"), width: room, overflow: "truncate", fontSize: 12 },
  });
  const values = (unit, extra) => ({
    type: "value", name: unit, nameLocation: "middle", nameGap: 26, nameTextStyle: { color: css("--soft") },
    axisLabel: { color: css("--soft"), hideOverlap: true }, splitLine: { lineStyle: { color: css("--line") } }, ...extra,
  });
  const room = (width) => Math.min(230, Math.max(110, width * 0.38));
  const grid = (width, right) => ({ left: room(width) + 12, right: right ?? 70, top: 8, bottom: 44 });

  // a label right of its bar, left of one that ends near the edge, inside one that has no room on either side
  const beside = (from, to, end) => to <= 0.72 * end ? { position: "right", color: css("--ink") }
    : from > 0.25 * end ? { position: "left", color: css("--ink") }
    : { position: "insideRight", color: "#fff", textBorderColor: "#333", textBorderWidth: 2 };

  const draw = {
    bars: (chart, width) => ({
      grid: grid(width, Math.max(70, 7.5 * Math.max(...chart.rows.map((row) => row.text.length)))), yAxis: labels(chart.rows, room(width)), xAxis: values(chart.unit),
      series: [{
        type: "bar", data: chart.rows.map((row, i) => ({ value: row.value, itemStyle: { color: palette[i % palette.length] } })), barMaxWidth: 18,
        label: { show: true, position: "right", color: css("--ink"), formatter: (p) => chart.rows[p.dataIndex].text },
      }],
      tooltip: { formatter: (p) => `${chart.rows[p.dataIndex].label}: ${chart.rows[p.dataIndex].text} (${chart.rows[p.dataIndex].share})` },
    }),
    waterfall: (chart, width) => {
      let sum = 0;
      const starts = chart.rows.map((row) => { const start = sum; sum += row.value; return start; });
      const end = sum;
      return {
        grid: grid(width), yAxis: labels(chart.rows, room(width)), xAxis: values(chart.unit, { max: end * 1.001, axisLabel: { color: css("--soft"), hideOverlap: true, showMaxLabel: false } }),
        series: [
          { type: "bar", stack: "step", silent: true, itemStyle: { color: "transparent" }, data: starts, barMaxWidth: 18 },
          {
            type: "bar", stack: "step", barMaxWidth: 18,
            data: chart.rows.map((row, i) => ({
              value: row.value, itemStyle: { color: palette[i % palette.length] },
              label: { show: true, ...beside(starts[i], starts[i] + row.value, end), formatter: row.text },
            })),
          },
        ],
        tooltip: { formatter: (p) => `${chart.rows[p.dataIndex].label}: ${chart.rows[p.dataIndex].text} (${chart.rows[p.dataIndex].share})` },
      };
    },
    stack: (chart) => ({
      grid: { left: 8, right: 16, top: 86, bottom: 44 }, legend: { top: 0, left: 0, textStyle: { color: css("--ink") }, itemWidth: 14, itemHeight: 10 },
      yAxis: { type: "category", data: [""], axisTick: { show: false }, axisLine: { show: false } },
      xAxis: values(chart.unit, { max: chart.rows.reduce((sum, row) => sum + row.value, 0), axisLabel: { color: css("--soft"), hideOverlap: true, showMaxLabel: false } }),
      series: chart.rows.map((row, i) => ({
        name: row.label, type: "bar", stack: "all", barWidth: 34, data: [row.value],
        itemStyle: row.label === "free" ? { color: "transparent", borderColor: css("--soft"), borderType: "dashed" } : { color: palette[i % palette.length], borderColor: css("--paper"), borderWidth: 1 },
        label: { show: parseFloat(row.share) > 11, formatter: row.text, color: row.label === "free" ? css("--ink") : "#fff", textBorderColor: row.label === "free" ? "transparent" : "#333", textBorderWidth: 2 },
      })),
      tooltip: { formatter: (p) => `${chart.rows[p.seriesIndex].label}: ${chart.rows[p.seriesIndex].text} (${chart.rows[p.seriesIndex].share})` },
    }),
    tornado: (chart, width) => {
      const bar = (key, color) => ({
        type: "bar", stack: key, barMaxWidth: 16, barGap: "-100%", itemStyle: { color },
        name: key === "low" ? "at the low end of the assumption" : "at the high end of the assumption",
        data: chart.rows.map((row) => row[key] - chart.base),
      });
      const all = chart.rows.flatMap((row) => [row.low, row.high, chart.base]);
      const format = (v) => String(Number((v + chart.base).toPrecision(3)));
      return {
        grid: { ...grid(width, 24), bottom: 66 }, legend: { bottom: 0, textStyle: { color: css("--ink"), fontSize: 11 }, itemWidth: 14, itemHeight: 10 },
        yAxis: labels(chart.rows, room(width)),
        xAxis: values(chart.unit, { min: Math.min(...all) - chart.base, max: Math.max(...all) - chart.base, axisLabel: { color: css("--soft"), hideOverlap: true, formatter: format } }),
        series: [bar("low", palette[0]), bar("high", palette[1])],
        tooltip: { formatter: (p) => `${chart.rows[p.dataIndex].label}<br>${chart.rows[p.dataIndex].low_text}<br>${chart.rows[p.dataIndex].high_text}` },
      };
    },
    curve: (chart) => ({
      grid: { left: 62, right: 24, top: 52, bottom: 48 }, legend: { show: chart.lines.length > 1, top: 0, left: 0, textStyle: { color: css("--ink") }, itemWidth: 18, itemHeight: 10 },
      xAxis: values(chart.x_unit, { type: chart.log ? "log" : "value", min: chart.x_min, max: chart.x_max, nameGap: 28, axisLabel: { color: css("--soft"), hideOverlap: true, formatter: (v) => String(Number(v.toPrecision(3))) } }),
      yAxis: values(chart.unit, { min: chart.y_min, max: chart.y_max, nameGap: 42 }),
      series: chart.lines.map((line, i) => ({
        name: line.name, type: "line", showSymbol: false, lineStyle: { width: 2, type: i ? "dashed" : "solid", color: palette[i] }, itemStyle: { color: palette[i] },
        data: line.points,
        markLine: i ? undefined : {
          symbol: "none", silent: true, lineStyle: { color: css("--soft"), type: "dotted", width: 1.5 },
          data: chart.marks.map((mark) => ({ xAxis: mark.x, label: { formatter: mark.name, color: css("--ink"), position: "end", rotate: 0 } })),
        },
      })),
      tooltip: { trigger: "axis", valueFormatter: (v) => `${Number(v.toPrecision(4))} ${chart.unit}` },
    }),
    // one line per row over a logarithmic axis; whiskers are [x, low, middle, high], bands name stretches of the axis
    lines: (chart, width, height) => {
      const short = (v) => v >= 1e6 ? `${+(v / 1e6).toPrecision(3)}M` : v >= 1e3 ? `${+(v / 1e3).toPrecision(3)}k` : String(+v.toPrecision(3));
      const xs = chart.rows.flatMap((row) => [...row.points, ...row.whiskers].map((point) => point[0]));
      const ys = chart.rows.flatMap((row) => [...row.points.map((point) => point[1]), ...row.whiskers.map((point) => point[3])]);
      const ten = 10 ** Math.floor(Math.log10(Math.max(...ys))), end = ten * [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10].find((step) => step * ten >= Math.max(...ys));
      // labels at the ends of the lines keep a line of text between them: downwards first, then up again from the axis
      const pixel = (height - 64) / end, ends = chart.rows.filter((row) => row.points.length).map((row) => ({ label: row.label, at: -row.points.at(-1)[1] * pixel })).sort((a, b) => a.at - b.at);
      ends.forEach((item, i) => { item.placed = i ? Math.max(item.at, ends[i - 1].placed + 15) : item.at; });
      let floor = 0;
      for (const item of ends.toReversed()) { item.placed = Math.min(item.placed, floor); floor = item.placed - 15; }
      const shift = new Map(ends.map((item) => [item.label, item.placed - item.at]));
      const symbols = ["circle", "rect", "triangle", "diamond", "roundRect", "pin", "arrow"];
      const marks = { silent: true, label: { color: css("--soft"), fontSize: 11, position: "insideTop" }, data: chart.bands.map((band, i) => [{ name: band.text, xAxis: band.from, itemStyle: { color: i % 2 ? "transparent" : css("--panel") } }, { xAxis: band.to }]) };
      const series = chart.rows.flatMap((row, i) => {
        const color = palette[i % palette.length];
        const line = {
          name: row.label, type: "line", data: row.points, color, symbol: symbols[i % symbols.length], symbolSize: 7, showSymbol: row.points.length < 9, lineStyle: { width: row.dashed ? 1.5 : 2.5, type: row.dashed ? "dashed" : "solid" },
          endLabel: { show: row.points.length > 0, formatter: () => `{mark|${row.dashed ? "┅" : "━"}} ${row.label}`, rich: { mark: { color, fontWeight: "bold" } }, color: css("--ink"), width: Math.min(190, width * 0.26), overflow: "truncate", distance: 8, offset: [0, shift.get(row.label) ?? 0] },
          markArea: i === 0 && chart.bands.length ? marks : undefined,
        };
        const dots = {
          name: row.label, type: "custom", data: row.whiskers, color, clip: false, z: 3,
          renderItem: (params, api) => {
            const [x, low] = api.coord([api.value(0), api.value(1)]), [, middle] = api.coord([api.value(0), api.value(2)]), [, high] = api.coord([api.value(0), api.value(3)]);
            const stroke = { stroke: color, lineWidth: 2 };
            return { type: "group", children: [
              { type: "line", shape: { x1: x, y1: low, x2: x, y2: high }, style: stroke },
              ...[low, high].map((y) => ({ type: "line", shape: { x1: x - 4, y1: y, x2: x + 4, y2: y }, style: stroke })),
              { type: "circle", shape: { cx: x, cy: middle, r: 4 }, style: { fill: css("--paper"), stroke: color, lineWidth: 2 } },
            ] };
          },
        };
        return row.whiskers.length ? [line, dots] : [line];
      });
      return {
        grid: { left: 64, right: Math.min(200, width * 0.28), top: 16, bottom: 48 },
        xAxis: { type: "log", min: Math.min(...xs), max: Math.max(...xs), name: chart.x_unit, nameLocation: "middle", nameGap: 28, nameTextStyle: { color: css("--soft") }, axisTick: { customValues: chart.ticks }, axisLabel: { color: css("--soft"), hideOverlap: true, formatter: short, customValues: chart.ticks }, splitLine: { show: false } },
        yAxis: { type: "value", name: chart.unit, nameLocation: "middle", nameGap: 44, nameTextStyle: { color: css("--soft") }, axisLabel: { color: css("--soft") }, splitLine: { lineStyle: { color: css("--line") } }, min: 0, max: end },
        series,
        tooltip: { formatter: (p) => `${p.seriesName}: ${short(p.value[0])} ${chart.x_unit}, ${+p.value[p.componentSubType === "custom" ? 2 : 1].toPrecision(3)} ${chart.unit}` },
      };
    },
    // one bar per row, cut into the same parts
    shares: (chart, width) => ({
      grid: { left: room(width) + 12, right: 28, top: width > 900 ? 40 : 100, bottom: 44 }, legend: { top: 0, left: 0, textStyle: { color: css("--ink") }, itemWidth: 14, itemHeight: 10 },
      yAxis: labels(chart.rows, room(width)), xAxis: values(chart.unit, { min: 0, max: chart.end }),
      series: chart.parts.map((part, i) => ({
        name: part, type: "bar", stack: "all", barMaxWidth: 22, data: chart.rows.map((row) => row.values[i]),
        itemStyle: { color: part === "idle" ? "transparent" : palette[i % palette.length], borderColor: part === "idle" ? css("--soft") : css("--paper"), borderWidth: 1, borderType: part === "idle" ? "dashed" : "solid" },
        label: { show: true, formatter: (p) => p.value >= 0.055 * chart.end ? `${Math.round(p.value)}` : "", color: part === "idle" ? css("--ink") : "#fff", textBorderColor: part === "idle" ? "transparent" : "#333", textBorderWidth: part === "idle" ? 0 : 2 },
      })),
      tooltip: { formatter: (p) => `${p.name}, ${p.seriesName}: ${p.value.toPrecision(3)} ${chart.unit}` },
    }),
    timeline: (chart, width) => {
      const names = [...new Set(chart.rows.map((row) => row.label))];
      const end = Math.max(...chart.rows.map((row) => row.end));
      return {
        grid: { left: 96, right: 20, top: chart.legend.length ? 44 : 10, bottom: 44 },
        legend: { show: chart.legend.length > 0, top: 0, left: 0, type: "scroll", data: chart.legend, textStyle: { color: css("--ink") }, itemWidth: 14, itemHeight: 10 },
        yAxis: { type: "category", inverse: true, data: chart.lanes, axisTick: { show: false }, axisLabel: { color: css("--ink") }, axisLine: { show: false } },
        xAxis: values(chart.unit, { min: 0, max: end, axisLabel: { color: css("--soft"), hideOverlap: true, showMaxLabel: false } }),
        series: names.map((name, i) => ({
          name, type: "custom", itemStyle: { color: palette[i % palette.length] }, encode: { x: [1, 2], y: 0 },
          data: chart.rows.filter((row) => row.label === name).map((row) => ({ value: [chart.lanes.indexOf(row.lane), row.start, row.end], text: row.text })),
          renderItem: (params, api) => {
            const from = api.coord([api.value(1), api.value(0)]), to = api.coord([api.value(2), api.value(0)]);
            const height = Math.min(24, api.size([0, 1])[1] * 0.62);
            const wide = Math.max(to[0] - from[0], 1);
            return {
              type: "rect", shape: { x: from[0], y: from[1] - height / 2, width: wide, height },
              style: { fill: palette[i % palette.length], stroke: css("--paper"), lineWidth: wide > 4 ? 1 : 0 },
              textContent: wide > 9 * name.length ? { style: { text: name, fill: "#fff", stroke: "#333", lineWidth: 2, fontSize: 11 } } : undefined, textConfig: { position: "inside" },
            };
          },
        })),
        tooltip: { formatter: (p) => `${p.seriesName}: ${p.data.text}` },
      };
    },
  };

  const drawn = new Map();
  const render = () => {
    for (const chart of charts) {
      const box = document.querySelector(`[data-chart="${chart.id}"]`);
      if (!box) continue;
      drawn.get(chart.id)?.dispose();
      const instance = echarts.init(box, null, { renderer: "svg" });
      instance.setOption({ animation: false, color: palette, textStyle: { fontFamily: getComputedStyle(document.body).fontFamily }, ...draw[chart.kind](chart, box.clientWidth, box.clientHeight) });
      drawn.set(chart.id, instance);
    }
  };
  render();
  dark.addEventListener("change", render);
  let pending;
  window.addEventListener("resize", () => { clearTimeout(pending); pending = setTimeout(render, 150); });

  const filter = document.getElementById("filter"), rows = [...document.querySelectorAll("#assumption-table tbody tr")], shown = document.getElementById("shown");
  const apply = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const hit = words.every((word) => row.textContent.toLowerCase().includes(word));
      row.hidden = !hit;
      count += hit;
    }
    shown.textContent = `${count} of ${rows.length}`;
  };
  if (filter) {
    filter.addEventListener("input", apply);
    apply();
  }
})();
