// The objective over each parameter: a point for each trial, and the median of each value.
(function () {
  "use strict";
  const { ranking, parameters, label, value, columns, distinct, median, plain, short, categories, sample, element } = window.sweep;
  const card = document.getElementById("objective");
  const [MOST, POINTS, VALUES] = [12, 1000, 40];
  if (!ranking.length || !parameters.length) {
    card.hidden = true;
    return;
  }
  const note = card.querySelector(".note");
  const drawn = sample(ranking, POINTS);
  const trial = columns[0];
  const notes = ["The line is the median of all complete trials with that value."];
  if (drawn.length < ranking.length) {
    notes.push(`Points: ${drawn.length} of ${ranking.length} trials, the best and others evenly by rank.`);
  }
  if (parameters.length > MOST) notes.push(`The first ${MOST} of ${parameters.length} parameters.`);
  note.textContent = notes.join(" ");
  // The median for each value; for many values, for parts with equally many trials.
  function medians(column) {
    const values = distinct(column, ranking);
    if (values.length <= VALUES || column.isText) {
      const groups = new Map(values.map((each) => [each, []]));
      for (const row of ranking) if (groups.has(column.get(row))) groups.get(column.get(row)).push(value(row));
      return values.map((each) => [each, median(groups.get(each))]);
    }
    const sorted = ranking.filter((row) => column.get(row) !== null).sort((a, b) => column.get(a) - column.get(b));
    const parts = Math.max(4, Math.min(12, Math.floor(sorted.length / 5)));
    const found = [];
    for (let part = 0; part < parts; part += 1) {
      const rows = sorted.slice(Math.floor((part * sorted.length) / parts), Math.floor(((part + 1) * sorted.length) / parts));
      if (rows.length) found.push([median(rows.map(column.get)), median(rows.map(value))]);
    }
    return found;
  }
  function plotOf(column) {
    const line = medians(column);
    const names = column.isText ? categories(line.map(([each]) => each), 14) : [];
    const places = new Map(line.map(([each], at) => [each, names[at]]));
    const text = (each) => (column.isText ? places.get(each) : each);
    const axis = { title: { text: plain(short(column.id, 40)) } };
    if (column.isText) Object.assign(axis, { type: "category", categoryorder: "array", categoryarray: names });
    const points = {
      type: "scatter", mode: "markers", name: "trials",
      x: drawn.map((row) => text(column.get(row))), y: drawn.map(value), customdata: drawn.map((row) => trial.get(row)),
      hovertemplate: "trial %{customdata}<br>%{x}: %{y:.4g}<extra></extra>",
      marker: { color: "--c2", size: 6, opacity: 0.65 },
    };
    const middle = {
      type: "scatter", mode: "lines+markers", name: "median", x: line.map(([each]) => text(each)),
      y: line.map(([, each]) => each), hovertemplate: "%{x}: median %{y:.4g}<extra></extra>",
      line: { color: "--c0", width: 2 }, marker: { color: "--c0", size: 6 },
    };
    const best = {
      type: "scatter", mode: "markers", name: "best", x: [text(column.get(ranking[0]))], y: [value(ranking[0])],
      hovertemplate: "best trial<br>%{x}: %{y:.4g}<extra></extra>", marker: { color: "--c1", size: 10, symbol: "diamond" },
    };
    const layout = {
      xaxis: axis, yaxis: { title: { text: plain(label) } }, showlegend: false, hovermode: "closest",
      margin: { l: 8, r: 8, t: 8, b: 8 },
    };
    return { data: [points, middle, best], layout };
  }
  const places = parameters.slice(0, MOST).map(function (column) {
    const place = element("div", "", { class: "plot" });
    card.querySelector(".small-plots").append(place);
    return [place, plotOf(column)];
  });
  window.plotting.whenAppearanceChanges(function () {
    for (const [place, plot] of places) window.plotting.draw(place, plot);
  });
})();
