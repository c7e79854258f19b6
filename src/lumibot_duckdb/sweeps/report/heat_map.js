// The objective over two parameters that the reader chooses, as a heat map.
(function () {
  "use strict";
  const { ranking, parameters, objective, minimize, label, value, distinct, median, plain, short, categories, shown, selection } = window.sweep;
  const card = document.getElementById("heat-map");
  const [BINS, MOST_VALUES, MOST_TEXTS] = [12, 30, 150];
  if (!ranking.length || parameters.length < 2) {
    card.hidden = true;
    return;
  }
  const narrow = window.matchMedia("screen and (max-width: 720px)");
  const place = card.querySelector(".plot");
  const note = card.querySelector(".note");
  const best = minimize ? (values) => Math.min(...values) : (values) => Math.max(...values);
  const worst = minimize ? (values) => Math.max(...values) : (values) => Math.min(...values);
  const SUMMARIES = { median, best, worst, trials: (values) => values.length };
  // How much the medians of a parameter's values differ.
  function influence(column) {
    const groups = new Map();
    for (const row of ranking) {
      const key = stepsOf(column).of(row);
      if (!groups.has(key)) groups.set(key, []);
      groups.get(key).push(value(row));
    }
    const medians = [...groups.values()].map(median);
    return Math.max(...medians) - Math.min(...medians);
  }
  const known = new Map();
  // The cells along a parameter: its values, or, if they are many numbers, equal intervals.
  function stepsOf(column) {
    if (!known.has(column)) known.set(column, makeSteps(column));
    return known.get(column);
  }
  function makeSteps(column) {
    const values = distinct(column, ranking);
    if (column.isText || values.length <= MOST_VALUES) {
      const places = new Map(values.map((each, at) => [each, at]));
      return { names: categories(values.map((each) => shown(column, each)), 18), of: (row) => places.get(column.get(row)) };
    }
    const [low, high] = [values[0], values[values.length - 1]];
    const width = (high - low) / BINS;
    const names = Array.from({ length: BINS }, (_, at) => `${number(low + at * width)} to ${number(low + (at + 1) * width)}`);
    return { names, of: (row) => (column.get(row) === null ? undefined : Math.min(BINS - 1, Math.floor((column.get(row) - low) / width))) };
  }
  function number(each) {
    return String(Number(each.toPrecision(3)));
  }
  const order = parameters.map((column, at) => [influence(column), at]).sort((a, b) => b[0] - a[0]);
  const [first, second] = [order[0][1], order[1][1]].sort((a, b) => a - b);
  const options = parameters.map((column, at) => [at, column.id]);
  const [xBox, xSelect] = selection("across", options, first, changed);
  const [yBox, ySelect] = selection("down", options, second, changed);
  const [whatBox, whatSelect] = selection(
    "each cell shows", [["median", "the median trial"], ["best", "the best trial"], ["worst", "the worst trial"], ["trials", "how many trials"]],
    "median", changed,
  );
  card.querySelector(".controls").append(xBox, yBox, whatBox);
  // The two parameters differ: the other selection takes what this one had.
  let shownPair = [String(first), String(second)];
  function changed() {
    if (xSelect.value === ySelect.value) {
      if (xSelect.value === shownPair[0]) xSelect.value = shownPair[1];
      else ySelect.value = shownPair[0];
    }
    shownPair = [xSelect.value, ySelect.value];
    redraw();
  }
  function redraw() {
    const [x, y] = [parameters[xSelect.value], parameters[ySelect.value]];
    const [across, down] = [stepsOf(x), stepsOf(y)];
    const cells = down.names.map(() => across.names.map(() => []));
    let drawn = 0;
    for (const row of ranking) {
      const [column, line] = [across.of(row), down.of(row)];
      if (column === undefined || line === undefined) continue;
      cells[line][column].push(value(row));
      drawn += 1;
    }
    const summary = SUMMARIES[whatSelect.value];
    const counted = whatSelect.value === "trials";
    const z = cells.map((line) => line.map((values) => (values.length ? summary(values) : null)));
    const most = narrow.matches ? 8 : 16;
    const trace = {
      type: "heatmap", x: across.names, y: down.names, z, text: cells.map((line) => line.map((values) => values.length)),
      colorscale: [[0, "--heat0"], [0.5, "--heat1"], [1, "--heat2"]], reversescale: minimize && !counted, hoverongaps: false,
      xgap: 1, ygap: 1, colorbar: { thickness: 12, outlinewidth: 0, title: { text: counted ? "trials" : plain(label), side: "right" } },
      hovertemplate: `${plain(x.id)}: %{x}<br>${plain(y.id)}: %{y}<br>%{z:.4g}<br>trials: %{text}<extra></extra>`,
    };
    if (across.names.length <= most && across.names.length * down.names.length <= MOST_TEXTS) {
      trace.texttemplate = counted ? "%{z}" : "%{z:.2f}";
    }
    const layout = {
      xaxis: { type: "category", title: { text: plain(short(x.id, 40)) }, nticks: narrow.matches ? 6 : 16, showgrid: false },
      yaxis: { type: "category", title: { text: plain(short(y.id, 40)) }, nticks: 16, showgrid: false },
      hovermode: "closest", margin: { l: 8, r: 8, t: 8, b: 8 },
    };
    note.textContent = `${drawn} complete trials. A ridge of good cells is worth more than a single one.`;
    window.plotting.draw(place, { data: [trace], layout });
  }
  window.plotting.whenAppearanceChanges(redraw);
})();
