(function () {
  var home = document.getElementById("points");
  var island = document.getElementById("points-data");
  if (!home || !island) return;
  var data = JSON.parse(island.textContent);
  var across = document.getElementById("points-x"), up = document.getElementById("points-y");
  var path = document.getElementById("points-path"), told = document.getElementById("points-told");
  var head = document.getElementById("points-up");
  var plot = document.getElementById("points-plot"), body = home.querySelector("tbody");
  var heads = home.querySelectorAll("thead th");
  var NS = "http://www.w3.org/2000/svg", shapes = [
    function (s) { return ["circle", {r: s}]; },
    function (s) { return ["rect", {x: -s, y: -s, width: 2 * s, height: 2 * s}]; },
    function (s) { return ["path", {d: "M0 " + -1.3 * s + "L" + 1.3 * s + " 0 0 " + 1.3 * s + " " + -1.3 * s + " 0Z"}]; },
    function (s) { return ["path", {d: "M0 " + -1.2 * s + "L" + 1.2 * s + " " + s + " " + -1.2 * s + " " + s + "Z"}]; },
    function (s) { return ["path", {d: "M0 " + 1.2 * s + "L" + 1.2 * s + " " + -s + " " + -1.2 * s + " " + -s + "Z"}]; },
    function (s) { return ["path", {d: "M-2 " + -s + "H2V-2H" + s + "V2H2V" + s + "H-2V2H" + -s + "V-2H-2Z"}]; }];
  function make(name, at, parent, text) {
    var made = document.createElementNS(NS, name);
    for (var key in at) made.setAttribute(key, at[key]);
    if (text !== undefined) made.textContent = text;
    if (parent) parent.appendChild(made);
    return made;
  }
  function word(value) {
    var size = Math.abs(value);
    var text = size && (size < 0.001 || size >= 1e6) ? value.toExponential(2)
      : value.toLocaleString("en", {maximumSignificantDigits: 3});
    return text.replace("-", "\u2212");
  }
  function three(run, name, generation) { return run.values[name][generation]; }
  function saying(found) {
    return word(found[0]) + (found[1] === null ? "" : " (" + word(found[1]) + " to " + word(found[2]) + ")");
  }
  function ticks(low, high, most) {
    var step = Math.pow(10, Math.floor(Math.log10((high - low) / most))), found = [];
    [1, 2, 5, 10].some(function (k) { if ((high - low) / (step * k) <= most) { step *= k; return true; } });
    for (var k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(k * step + 0);
    return found;
  }
  function span(name) {
    var low = Infinity, high = -Infinity;
    data.runs.forEach(function (run) {
      run.values[name].forEach(function (found, generation) {
        if (!found || (!path.checked && generation !== data.last)) return;
        var ends = generation === data.last ? found.filter(function (v) { return v !== null; }) : [found[0]];
        low = Math.min.apply(null, ends.concat(low)); high = Math.max.apply(null, ends.concat(high));
      });
    });
    var room = (high - low || Math.abs(high) || 1) * 0.07;
    return [low - room, high + room];
  }
  function sentence(run, x, y) {
    return run.label + ", seed " + run.seed + " (" + run.run + "), generation " + data.last + ": "
      + data.names[x].title + " " + saying(three(run, x, data.last)) + "; "
      + data.names[y].title + " " + saying(three(run, y, data.last));
  }
  function draw() {
    var x = Number(across.value), y = Number(up.value), wide = Math.max(260, plot.clientWidth);
    var high = Math.round(Math.max(260, Math.min(440, wide * 0.62)));
    var box = {left: 58, right: wide - 12, top: 12, bottom: high - 46};
    var xs = span(x), ys = span(y);
    function place(v, from, a, b) { return a + (v - from[0]) / (from[1] - from[0]) * (b - a); }
    function px(v) { return place(v, xs, box.left, box.right); }
    function py(v) { return place(v, ys, box.bottom, box.top); }
    var svg = make("svg", {viewBox: "0 0 " + wide + " " + high, width: wide, height: high, role: "group",
      "aria-label": data.runs.length + " runs: " + data.names[x].title + " across, " + data.names[y].title + " upwards"});
    ticks(ys[0], ys[1], Math.max(3, high / 60)).forEach(function (v) {
      make("line", {x1: box.left, x2: box.right, y1: py(v), y2: py(v), "class": "grid"}, svg);
      make("text", {x: box.left - 8, y: py(v) + 4, "text-anchor": "end"}, svg, word(v));
    });
    ticks(xs[0], xs[1], Math.max(3, wide / 90)).forEach(function (v) {
      make("line", {x1: px(v), x2: px(v), y1: box.bottom, y2: box.bottom + 4, "class": "tick"}, svg);
      make("text", {x: px(v), y: box.bottom + 19, "text-anchor": "middle"}, svg, word(v));
    });
    make("line", {x1: box.left, x2: box.right, y1: box.bottom, y2: box.bottom, "class": "tick"}, svg);
    data.runs.forEach(function (run) {
      var a = three(run, x, data.last), b = three(run, y, data.last);
      if (!a || !b) return;
      var colour = "color:var(--line-" + Math.min(run.group, 5) + ")", steps = [];
      run.values[x].forEach(function (found, generation) {
        var other = run.values[y][generation];
        if (found && other) steps.push([px(found[0]), py(other[0]), generation]);
      });
      if (path.checked && steps.length > 1) {
        make("polyline", {points: steps.map(function (s) { return s[0] + "," + s[1]; }).join(" "), style: colour,
          "class": "way"}, svg);
        steps.slice(0, -1).forEach(function (s) {
          make("circle", {cx: s[0], cy: s[1], r: s[2] === 0 ? 4 : 2, style: colour, "class": s[2] ? "step" : "begin"}, svg);
        });
      }
      var bars = make("g", {style: colour, "class": "bars"}, svg);
      if (a[1] !== null) make("line", {x1: px(a[1]), x2: px(a[2]), y1: py(b[0]), y2: py(b[0])}, bars);
      if (b[1] !== null) make("line", {x1: px(a[0]), x2: px(a[0]), y1: py(b[1]), y2: py(b[2])}, bars);
    });
    data.runs.forEach(function (run) {
      var a = three(run, x, data.last), b = three(run, y, data.last);
      if (!a || !b) return;
      var point = make("g", {transform: "translate(" + px(a[0]) + " " + py(b[0]) + ")", tabindex: 0, role: "img",
        "class": "point", "aria-label": sentence(run, x, y), style: "color:var(--line-" + Math.min(run.group, 5) + ")"}, svg);
      make("circle", {r: 14, "class": "hit"}, point);
      var shape = shapes[run.group % shapes.length](6);
      make(shape[0], shape[1], point);
      ["pointerenter", "focus", "click"].forEach(function (kind) {
        point.addEventListener(kind, function () { told.textContent = sentence(run, x, y) + "."; });
      });
    });
    make("text", {x: (box.left + box.right) / 2, y: high - 8, "text-anchor": "middle", "class": "name"}, svg,
      cutTo(data.names[x].title + " \u2192", box.right - box.left));
    plot.replaceChildren(svg);
    head.textContent = "\u2191 " + data.names[y].title;
    head.hidden = false;
  }
  function cutTo(text, room) {
    var most = Math.floor(room / 7.2);
    return text.length <= most ? text : text.slice(0, most - 1) + "\u2026";
  }
  function tell() {
    var x = Number(across.value), y = Number(up.value);
    heads[3].textContent = data.names[x].title;
    heads[4].textContent = data.names[y].title;
    body.replaceChildren.apply(body, data.runs.map(function (run) {
      var row = document.createElement("tr"), at = data.last;
      [run.label, run.run, run.seed, three(run, x, at) ? saying(three(run, x, at)) : "\u2013",
        three(run, y, at) ? saying(three(run, y, at)) : "\u2013"].forEach(function (text, k) {
        var cell = document.createElement(k ? "td" : "th");
        if (!k) cell.scope = "row";
        cell.textContent = text;
        row.appendChild(cell);
      });
      return row;
    }));
  }
  function renew() { told.textContent = home.dataset.hint; draw(); tell(); }
  [across, up, path].forEach(function (control) { control.addEventListener("change", renew); });
  home.querySelector(".choices").hidden = false;
  told.hidden = false;
  var wide = 0;
  new ResizeObserver(function () {
    if (plot.clientWidth && plot.clientWidth !== wide) { wide = plot.clientWidth; draw(); }
  }).observe(plot);
  renew();
})();
