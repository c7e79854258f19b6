(function () {
  "use strict";
  const plots = JSON.parse(document.getElementById("plots").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const narrow = window.matchMedia("screen and (max-width: 720px)");
  const PRINTED_WIDTH = 690; // of A4 and Letter pages with the margins in page.css
  const root = document.documentElement;
  function color(name) {
    return getComputedStyle(root).getPropertyValue("--" + name).trim();
  }
  // The data has names of colours, so that plots follow the light or dark colour scheme.
  function painted(value) {
    if (typeof value === "string" && value.startsWith("--")) return color(value.slice(2));
    // Lists of objects are parts of a layout; other lists are data, and may be long.
    if (Array.isArray(value)) return value[0] && value[0].constructor === Object ? value.map(painted) : value;
    if (value && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([key, each]) => [key, key === "colorscale" ? each.map(step) : painted(each)]),
      );
    }
    return value;
  }
  function step([place, name]) {
    return [place, painted(name)];
  }
  function layoutOf(layout) {
    const axis = { gridcolor: color("line"), zerolinecolor: color("line"), linecolor: color("line"), automargin: true };
    const small = narrow.matches;
    const base = {
      autosize: true,
      font: { family: "system-ui, sans-serif", size: small ? 11 : 12, color: color("text") },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      margin: { l: 8, r: 8, t: 30, b: 8 },
      legend: { orientation: "h", x: 0, y: 1.02, yanchor: "bottom", tracegroupgap: 2 },
      hovermode: "x unified",
      dragmode: small ? false : "zoom", // on a phone, a swipe over a plot scrolls the page
      hoverlabel: { bgcolor: color("card"), font: { color: color("text") }, namelength: -1 },
    };
    const whole = Object.assign(base, painted(layout));
    if (root.classList.contains("printing")) Object.assign(whole, { autosize: false, width: PRINTED_WIDTH });
    whole.xaxis = Object.assign({}, axis, { nticks: small ? 4 : 8 }, whole.xaxis);
    whole.yaxis = Object.assign({}, axis, { nticks: 6 }, whole.yaxis);
    for (const name of Object.keys(whole)) {
      if (/^yaxis\d+$/.test(name)) whole[name] = Object.assign({}, axis, whole[name]);
    }
    return whole;
  }
  function draw(place, plot) {
    const options = { responsive: true, displaylogo: false, displayModeBar: false };
    // Traces that have a point in every category leave out `x`.
    const categories = (plot.layout.xaxis || {}).categoryarray;
    const data = plot.data.map((trace) => painted(categories ? { x: categories, ...trace } : trace));
    return Plotly.react(place, data, layoutOf(plot.layout), options);
  }
  function whenAppearanceChanges(redraw) {
    redraw();
    dark.addEventListener("change", redraw);
    narrow.addEventListener("change", redraw);
    window.addEventListener("printing", redraw);
  }
  // Pages are printed in light colours, as wide as the paper, with everything unfolded.
  let folded = [];
  function print(printing) {
    root.classList.toggle("printing", printing);
    if (printing) folded = [...document.querySelectorAll("details:not([open])")];
    for (const each of folded) each.open = printing;
    window.dispatchEvent(new Event("printing"));
  }
  window.addEventListener("beforeprint", () => print(true));
  window.addEventListener("afterprint", () => print(false));
  whenAppearanceChanges(function () {
    for (const place of document.querySelectorAll("[data-plot]")) draw(place, plots[place.dataset.plot]);
  });
  // For the scripts of a page that draws further plots.
  window.plotting = { color, draw, whenAppearanceChanges };
})();
