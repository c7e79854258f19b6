// Parallel coordinates: a line for each trial through its parameters and its objective. On a phone, the axes are rows.
(function () {
  "use strict";
  const { ranking, parameters, objective, label, value, distinct, plain, short, shown, sample, selection } = window.sweep;
  const card = document.getElementById("parallel");
  const [MOST_AXES, MOST_LINES, MOST_NAMES, COLORS, NAME, ROW] = [12, 1000, 8, 5, 10, 46];
  if (!ranking.length || !parameters.length) {
    card.hidden = true;
    return;
  }
  const narrow = window.matchMedia("screen and (max-width: 720px)");
  const place = card.querySelector(".plot");
  const note = card.querySelector(".note");
  const [box, select] = selection(
    "lines", [["1", "all trials"], ["0.5", "the better half"], ["0.1", "the best 10 %"]], "1", () => redraw(),
  );
  card.querySelector(".controls").append(box);
  // Where the values of a column are on its axis, from 0 to 1, and the names at some places.
  function axisOf(column, get, show) {
    const values = distinct({ get }, ranking);
    const places = new Map(values.map((each, at) => [each, values.length > 1 ? at / (values.length - 1) : 0.5]));
    if (column.isText) {
      const step = Math.ceil(values.length / MOST_NAMES);
      return { at: (row) => places.get(get(row)), names: values.map((each, at) => [places.get(each), at % step ? "" : show(each)]) };
    }
    const [low, high] = [values[0], values[values.length - 1]];
    const at = (each) => (high > low ? (each - low) / (high - low) : 0.5);
    const named = values.length <= MOST_NAMES ? values : [low, high];
    // Names that would cover each other are left out, the last one excepted.
    const names = [];
    for (const each of named) {
      if (!names.length || at(each) - names[names.length - 1][0] > 0.09) names.push([at(each), show(each)]);
      else if (each === high && names.length > 1) names[names.length - 1] = [1, show(each)];
    }
    return { at: (row) => (get(row) === null ? undefined : at(get(row))), names };
  }
  const shownAxes = parameters.slice(0, MOST_AXES).map((column) => [
    column.id, axisOf(column, column.get, (each) => (typeof each === "number" ? String(Number(each.toPrecision(4))) : shown(column, each))),
  ]);
  shownAxes.push([label, axisOf(objective, objective.get, (each) => shown(objective, each))]);
  const axes = shownAxes;
  function lineOf(rows) {
    const [along, across] = [[], []];
    for (const row of rows) {
      axes.forEach(function ([, axis], number) {
        const at = axis.at(row);
        along.push(number);
        across.push(at === undefined ? null : at);
      });
      along.push(null);
      across.push(null);
    }
    return [along, across];
  }
  function trace(rows, color, width, opacity) {
    const [along, across] = lineOf(rows);
    const line = { color, width };
    const both = narrow.matches ? { x: across, y: along } : { x: along, y: across };
    return { type: "scatter", mode: "lines", ...both, line, opacity, hoverinfo: "skip", showlegend: false };
  }
  function redraw() {
    place.style.height = narrow.matches ? `${Math.max(300, ROW * (axes.length + 1))}px` : "";
    const chosen = ranking.slice(0, Math.max(1, Math.round(select.value * ranking.length)));
    const drawn = sample(chosen, MOST_LINES);
    const rank = new Map(ranking.map((row, at) => [row, at]));
    const groups = Array.from({ length: COLORS - 1 }, () => []);
    for (const row of drawn) {
      groups[Math.min(COLORS - 2, Math.floor(((COLORS - 1) * (ranking.length - 1 - rank.get(row))) / ranking.length))].push(row);
    }
    const opacity = drawn.length > 300 ? 0.45 : 0.75;
    const data = groups.map((rows, at) => trace(rows, `--rank${at}`, 1.2, opacity));
    data.push(trace([ranking[0]], "--rank4", 3, 1));
    const last = axes.length - 1;
    const along = { range: [-0.3, last + 0.3], tickvals: axes.map((_, at) => at), zeroline: false, gridcolor: "--muted", nticks: undefined };
    const across = { range: [-0.05, 1.05], showgrid: false, showticklabels: false, zeroline: false, ticks: "" };
    const text = axes.map(([name]) => plain(short(name, narrow.matches ? 14 : Math.max(10, Math.floor(130 / axes.length)))));
    const annotations = axes.flatMap(([, axis], number) => axis.names.map(([at, name]) => ({
      ...(narrow.matches ? { x: at, y: number, yanchor: "top", xanchor: at < 0.1 ? "left" : at > 0.9 ? "right" : "center" } : { x: number, y: at, xanchor: number === last ? "right" : "left", yanchor: "middle" }),
      text: plain(short(name, NAME)), showarrow: false, font: { size: 11, color: "--text" }, bgcolor: "--card", opacity: 0.85, borderpad: 1,
    })));
    const layout = narrow.matches
      ? { xaxis: across, yaxis: { ...along, ticktext: text, range: [last + 0.45, -0.3], automargin: true } }
      : { xaxis: { ...along, ticktext: text, side: "top" }, yaxis: across };
    note.textContent = `Each line is a trial, in a stronger colour if its objective is better. The thick one is the best.${
      drawn.length < chosen.length ? ` Drawn: ${drawn.length} of ${chosen.length}, the best and others evenly by rank.` : ""}${
      parameters.length > MOST_AXES ? ` The first ${MOST_AXES} of ${parameters.length} parameters.` : ""}`;
    window.plotting.draw(place, { data, layout: { ...layout, annotations, hovermode: false, margin: { l: 16, r: 16, t: 24, b: 8 } } });
  }
  window.plotting.whenAppearanceChanges(redraw);
})();
