(function () {
  "use strict";
  const place = document.getElementById("coverage");
  if (!place) return;
  const data = JSON.parse(document.getElementById("coverage-data").textContent);
  const ROWS = 50; // series in one picture
  const NARROWEST = 3; // pixels of a column
  const LABEL = 66; // pixels of a label of the time axis, with room beside it
  const DAY = 86400000;
  const [GROUP, PART, PERIOD] = ["group", "part", "period"].map((name) => document.getElementById(name));
  const SHOWN = document.getElementById("shown");
  const narrow = window.matchMedia("screen and (max-width: 720px)");
  const markets = data.markets.map(function (steps) {
    let day = 0;
    return Int32Array.from(steps, (step) => (day += step));
  });
  function runs(text) {
    return Array.from(text.matchAll(/([nbgp])(\d*)/g), (found) => [found[1], Number(found[2] || 1)]);
  }
  const counted = new Map();
  function missing(series) {
    if (!counted.has(series)) {
      counted.set(series, runs(series[3]).reduce((sum, [state, days]) => sum + (state === "g" ? days : 0), 0));
    }
    return counted.get(series);
  }
  function dateOf(day) {
    return new Date(day * DAY).toISOString().slice(0, 10);
  }
  function option(value, text) {
    const made = document.createElement("option");
    made.value = value;
    made.textContent = text;
    return made;
  }
  function spanOf(series) {
    const days = markets[series[1]];
    const length = runs(series[3]).reduce((sum, run) => sum + run[1], 0);
    return length ? [days[series[2]], days[series[2] + length - 1]] : null;
  }
  // Contracts differ at the end of their names, so the middle is left out.
  function short(text, most) {
    const kept = Math.floor(most / 2);
    return text.length > most ? text.slice(0, most - kept - 1) + "…" + text.slice(-kept) : text;
  }
  // The type of asset is left out where all series have the same.
  function labelsOf(series, most) {
    const types = new Set(series.map((each) => each[0].split(" ").pop()));
    const end = types.size === 1 ? types.values().next().value.length + 1 : 0;
    return series.map((each) => short(each[0].slice(0, each[0].length - end) || each[0], most));
  }
  // Plotly reads some HTML in texts.
  function plain(text) {
    return text.replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  }
  function fillParts() {
    const group = data.groups[GROUP.value];
    PART.replaceChildren();
    const gappy = group.series.filter((series) => missing(series) > 0).length;
    if (group.series.length > ROWS && gappy) {
      const among = group.series.length < group.total ? ` among the first ${group.series.length}` : "";
      PART.append(option("gaps", `the ${Math.min(ROWS, gappy)} with the most gaps${among}`));
    }
    if (group.series.length <= ROWS) {
      PART.append(option(0, `all ${group.series.length}`));
      PART.disabled = true;
      return;
    }
    for (let first = 0; first < group.series.length; first += ROWS) {
      const last = Math.min(first + ROWS, group.series.length) - 1;
      const names = [first, last].map((at) => short(group.series[at][0], 24));
      PART.append(option(first, `${first + 1}-${last + 1}: ${names.join(" to ")}`));
    }
    PART.disabled = false;
  }
  function chosenSeries() {
    const group = data.groups[GROUP.value];
    if (PART.value === "gaps") {
      const gappy = group.series.filter((series) => missing(series) > 0);
      return gappy.sort((one, other) => missing(other) - missing(one)).slice(0, ROWS);
    }
    const first = Number(PART.value || 0);
    return group.series.slice(first, first + ROWS);
  }
  function fillPeriods() {
    const spans = chosenSeries().map(spanOf).filter(Boolean);
    const before = PERIOD.value;
    PERIOD.replaceChildren(option("all", "all days"));
    if (spans.length) {
      const first = Number(dateOf(Math.min(...spans.map((span) => span[0]))).slice(0, 4));
      const last = Number(dateOf(Math.max(...spans.map((span) => span[1]))).slice(0, 4));
      for (let year = last; year >= first; year -= 1) PERIOD.append(option(year, String(year)));
    }
    PERIOD.value = Array.from(PERIOD.options).some((each) => each.value === before) ? before : "all";
    PERIOD.disabled = PERIOD.length < 3;
  }
  // The days of all markets in the period, and the column of each.
  function columnsOf(series, most) {
    const year = PERIOD.value === "all" ? null : PERIOD.value;
    const days = new Set();
    for (const each of series) {
      const span = spanOf(each);
      if (!span) continue;
      for (const day of markets[each[1]]) {
        if (day >= span[0] && day <= span[1] && (year === null || dateOf(day).startsWith(year))) days.add(day);
      }
    }
    const sorted = Int32Array.from(days).sort();
    const width = Math.max(1, Math.ceil(sorted.length / most));
    const columns = new Map();
    const bounds = [];
    sorted.forEach(function (day, at) {
      const column = Math.floor(at / width);
      columns.set(day, column);
      if (at % width === 0) bounds.push([day, day]);
      bounds[column][1] = day;
    });
    return { columns, bounds };
  }
  // A column has the colour of its worst day: 0 for bars, 1 for provisional, and from 2 (few of its days) to 3 for a gap.
  function shade(count) {
    if (count.g) return 2 + count.g / (count.b + count.p + count.g);
    if (count.p) return 1;
    return count.b ? 0 : null;
  }
  function rowOf(series, columns, bounds) {
    const counts = Array.from(bounds, () => ({ n: 0, b: 0, p: 0, g: 0 }));
    const days = markets[series[1]];
    let at = series[2];
    for (const [state, length] of runs(series[3])) {
      for (const end = at + length; at < end; at += 1) {
        const column = columns.get(days[at]);
        if (column === undefined) continue;
        counts[column][state] += 1;
      }
    }
    const states = counts.map(shade);
    const texts = counts.map(function (count, column) {
      const [first, last] = bounds[column].map(dateOf);
      const parts = [];
      if (count.b) parts.push(`${count.b} with bars`);
      if (count.g) parts.push(`${count.g} without bars`);
      if (count.p) parts.push(`${count.p} without bars, provisional`);
      if (count.n) parts.push(`${count.n} not requested`);
      return `${plain(series[0])}<br>${first === last ? first : `${first} to ${last}`}<br>${parts.join("<br>") || "not requested"}`;
    });
    return { states, texts };
  }
  // Labels of months, or of years if there are many, as far apart as they need to be.
  function ticks(bounds, room) {
    const found = { years: [], months: [] };
    let [year, month] = ["", ""];
    bounds.forEach(function ([day], column) {
      const date = dateOf(day);
      if (date.slice(0, 7) !== month) found.months.push([column, date.slice(0, 7)]);
      if (date.slice(0, 4) !== year) found.years.push([column, date.slice(0, 4)]);
      [year, month] = [date.slice(0, 4), date.slice(0, 7)];
    });
    const all = found.months.length * LABEL <= 3 * room ? found.months : found.years;
    const kept = [];
    for (const tick of all) {
      const before = kept.length ? kept[kept.length - 1][0] : -Infinity;
      if (((tick[0] - before) * room) / bounds.length >= LABEL) kept.push(tick);
    }
    return kept;
  }
  function draw() {
    const group = data.groups[GROUP.value];
    const series = chosenSeries();
    const small = narrow.matches;
    const labels = labelsOf(series, small ? 23 : 34);
    const longest = Math.max(0, ...labels.map((label) => label.length));
    const room = Math.max(100, place.clientWidth - longest * 7 - 20);
    const { columns, bounds } = columnsOf(series, Math.floor(room / NARROWEST));
    const rows = series.map((each) => rowOf(each, columns, bounds));
    const marks = ticks(bounds, room);
    const numbers = series.map((_, number) => number);
    const { color } = window.plotting;
    place.style.height = `${series.length * 16 + 60}px`;
    window.plotting.draw(place, {
      data: [
        {
          type: "heatmap",
          x: bounds.map((_, column) => column),
          y: numbers,
          z: rows.map((row) => row.states),
          text: rows.map((row) => row.texts),
          hoverinfo: "text",
          hoverongaps: false,
          showscale: false,
          zmin: 0,
          zmax: 3,
          xgap: bounds.length * 6 < room ? 1 : 0,
          ygap: 2,
          colorscale: [[0, color("has-bars")], [0.16, color("has-bars")], [0.16, color("provisional")],
            [0.5, color("provisional")], [0.5, color("gap-in-part")], [0.67, color("gap-in-part")], [1, color("gap")]],
        },
      ],
      layout: {
        hovermode: "closest",
        margin: { l: 8, r: 8, t: 24, b: 8 },
        xaxis: { side: "top", tickvals: marks.map((mark) => mark[0]), ticktext: marks.map((mark) => mark[1]),
          showgrid: false, zeroline: false, fixedrange: true, tickangle: 0 },
        yaxis: { autorange: "reversed", tickvals: numbers, ticktext: labels.map(plain), showgrid: false, zeroline: false,
          fixedrange: true, ticklabelstandoff: 4 },
      },
    });
    Plotly.Plots.resize(place);
    const total = group.total.toLocaleString("en-US");
    const included = group.series.length < group.total
      ? ` This page has the first ${group.series.length.toLocaleString("en-US")}; name a symbol or a source to see others.`
      : "";
    SHOWN.textContent = `${series.length.toLocaleString("en-US")} of ${total} series.${included}`;
  }
  data.groups.forEach(function (group, number) {
    const count = group.total.toLocaleString("en-US");
    GROUP.append(option(number, `${group.name}: ${count} series`));
  });
  GROUP.disabled = GROUP.length < 2;
  GROUP.addEventListener("change", function () { fillParts(); fillPeriods(); draw(); });
  PART.addEventListener("change", function () { fillPeriods(); draw(); });
  PERIOD.addEventListener("change", draw);
  fillParts();
  fillPeriods();
  window.plotting.whenAppearanceChanges(draw);
})();
