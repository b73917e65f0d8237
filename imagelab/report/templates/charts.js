// Curves: a rule at the chosen generation, the values there, and each curve as CSV, SVG or a page of its own.
(function () {
  if (!lab) return;
  var SVG = "http://www.w3.org/2000/svg";
  function value(name, line, generation) { // [generation, value, low, high, text]
    var found = (lab.data.rows[name] || { lines: {} }).lines[line] || [];
    return found.find(function (row) { return line === -1 || row[0] === generation; }) ||
      (generation === 0 && line !== -1 ? value(name, -1, 0) : undefined);
  }
  function quoted(cell) {
    var text = cell === null || cell === undefined ? "" : String(cell);
    return /[",\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
  }
  function offer(text, name, kind) {
    var link = document.createElement("a"), blob = new Blob([text], { type: kind });
    link.href = URL.createObjectURL(blob);
    link.download = lab.data.run + "-" + name;
    link.click();
    setTimeout(function () { URL.revokeObjectURL(link.href); }, 10000);
  }
  function csv(series) {
    var head = "measurement,title,unit,model,generation,value,low,high,trainings,n_generated,n_real";
    var lines = series.map(function (each) {
      var row = lab.data.rows[each[0]], real = each[1] === -1;
      return (row.lines[each[1]] || []).map(function (one) {
        return [each[0], row.title, row.unit, lab.data.models[each[1]], one[0], one[1], one[2], one[3],
          real ? 1 : row.trainings, row.n, row.real].map(quoted).join(",");
      }).join("\n");
    });
    return [head].concat(lines.filter(Boolean)).join("\n") + "\n";
  }
  function standalone(plot, title) { // the picture with the colours of the page as it looks now
    var drawn = plot.querySelector("svg"), copy = drawn.cloneNode(true);
    copy.querySelectorAll(".rule").forEach(function (rule) { rule.remove(); });
    var from = drawn.querySelectorAll("*:not(.rule)"), to = copy.querySelectorAll("*");
    to.forEach(function (node, order) {
      var style = getComputedStyle(from[order]);
      ["fill", "stroke"].forEach(function (name) {
        if (node.style && node.style[name]) node.style[name] = style[name];
      });
    });
    var box = drawn.viewBox.baseVal, foot = 34;
    copy.setAttribute("xmlns", SVG);
    copy.setAttribute("viewBox", "0 -24 " + box.width + " " + (box.height + 24 + foot));
    copy.setAttribute("width", 2 * box.width);
    copy.setAttribute("style", "font-family: Arial, sans-serif; color: " + getComputedStyle(plot).color);
    copy.removeAttribute("aria-hidden");
    copy.removeAttribute("focusable");
    [[title, -8, 13, "bold"], ["Source: imagelab, run " + lab.data.run + ". Generations from 1 on are synthetic.",
      box.height + foot - 18, 8, "normal"]].forEach(function (each) {
      var text = document.createElementNS(SVG, "text");
      text.setAttribute("x", 4);
      text.setAttribute("y", each[1]);
      text.setAttribute("style", "font-size: " + each[2] + "px; font-weight: " + each[3] + "; fill: currentColor");
      text.textContent = each[0];
      copy.appendChild(text);
    });
    var escaped = document.createElement("span");
    escaped.textContent = title;
    var marks = lab.data.marks.replace("{title}", function () { return escaped.innerHTML; });
    return copy.outerHTML.replace(/^<svg[^>]*>/, function (start) { return start + "<metadata>" + marks + "</metadata>"; });
  }
  function page(figure, title) { // one chart as a small page, to be put into another one by an iframe
    var copy = figure.cloneNode(true), style = document.querySelector("style").outerHTML;
    copy.querySelectorAll(".tools, .rule").forEach(function (part) { part.remove(); });
    var name = document.createElement("span");
    name.textContent = title;
    return "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" " +
      "content=\"width=device-width, initial-scale=1\"><meta name=\"color-scheme\" content=\"light dark\"><title>" +
      name.innerHTML + "</title>" + style + "<style>main { padding: 1rem; max-width: 44rem }</style></head><body><main>" +
      copy.outerHTML + "<p class=\"fine\">Source: imagelab, run " + lab.data.run +
      ". Generations from 1 on are synthetic.</p></main></body></html>\n";
  }
  document.querySelectorAll(".chart[data-chart]").forEach(function (figure) {
    var key = figure.dataset.chart, chart = lab.data.charts[key];
    if (!chart) return;
    var plot = figure.querySelector(".plot"), drawn = plot.querySelector("svg");
    var readout = figure.querySelector("dl.readout"), tools = figure.querySelector(".tools");
    var rules = chart.frames.map(function (frame) {
      var rule = document.createElementNS(SVG, "line");
      rule.setAttribute("class", "rule");
      rule.setAttribute("y1", frame[2]);
      rule.setAttribute("y2", frame[3]);
      drawn.appendChild(rule);
      return rule;
    });
    function show(generation) {
      rules.forEach(function (rule, order) {
        var x = chart.frames[order][0] + generation * chart.frames[order][1];
        rule.setAttribute("x1", x);
        rule.setAttribute("x2", x);
      });
      if (!readout) return;
      readout.previousElementSibling.textContent = generation === 0 ? "real images" : lab.name(generation);
      readout.querySelectorAll("dd").forEach(function (cell, order) {
        var found = value(chart.series[order][1], chart.series[order][2], generation);
        cell.textContent = found ? found[4] : "–";
      });
    }
    function under(event) { // the generation nearest to the pointer
      var box = drawn.getBoundingClientRect(), scale = drawn.viewBox.baseVal.width / box.width;
      var x = (event.clientX - box.left) * scale, y = (event.clientY - box.top) * scale;
      var frame = chart.frames.reduce(function (best, one) {
        function far(f) {
          var right = f[0] + lab.data.last * f[1];
          return Math.max(f[0] - x, x - right, 0) + Math.max(f[2] - y, y - f[3], 0);
        }
        return far(one) < far(best) ? one : best;
      });
      return Math.max(0, Math.min(lab.data.last, Math.round((x - frame[0]) / frame[1])));
    }
    plot.addEventListener("pointermove", function (event) { if (event.pointerType === "mouse") show(under(event)); });
    plot.addEventListener("pointerleave", function () { show(lab.chosen()); });
    plot.addEventListener("click", function (event) { lab.choose(under(event), key); });
    plot.addEventListener("focus", function () { show(lab.chosen()); });
    plot.addEventListener("keydown", function (event) {
      var step = { ArrowLeft: -1, ArrowRight: 1, Home: -lab.data.last, End: lab.data.last }[event.key];
      if (!step || event.target !== plot) return;
      event.preventDefault();
      lab.choose(lab.chosen() + step, key);
    });
    lab.follow(function (generation) {
      show(generation);
      if (tools) tools.querySelector("a").setAttribute("href", lab.address(key));
    });
    if (!tools) return;
    tools.hidden = false;
    tools.addEventListener("click", function (event) {
      var what = event.target.dataset.do;
      if (what === "csv") offer(csv(chart.series.map(function (s) { return [s[1], s[2]]; })), key + ".csv", "text/csv");
      if (what === "svg") offer(standalone(plot, chart.title), key + ".svg", "image/svg+xml");
      if (what === "embed") offer(page(figure, chart.title), key + ".html", "text/html");
    });
  });
  var all = document.getElementById("all-csv");
  if (all) all.addEventListener("click", function () {
    var series = [];
    Object.keys(lab.data.rows).forEach(function (name) {
      Object.keys(lab.data.rows[name].lines).map(Number).sort(function (a, b) { return a - b; }).forEach(function (line) {
        series.push([name, line]);
      });
    });
    offer(csv(series), "numbers.csv", "text/csv");
  });
  lab.start();
})();
