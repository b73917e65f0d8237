// The chosen generation is one state: slider, pictures, key figures and curves follow it, and the address keeps it.
var lab = (function () {
  var data = JSON.parse(document.getElementById("data").textContent);
  var bar = document.getElementById("chosen");
  if (!bar) return null;
  var range = document.getElementById("generation"), out = document.getElementById("generation-out");
  var chosen = data.last, chart = "", listeners = [];
  function name(generation) { return generation === 0 ? "real" : "generation " + generation; }
  function address(key) {
    var parts = [];
    if (chosen !== data.last) parts.push("generation=" + chosen);
    if (key) parts.push("chart=" + key);
    return "#" + parts.join("&");
  }
  function keep() {
    try { history.replaceState(null, "", address(chart)); } catch (error) { /* a page without an address */ }
  }
  function show() {
    range.value = chosen;
    range.setAttribute("aria-valuetext", name(chosen));
    out.textContent = chosen === 0 ? "real" : chosen;
    listeners.forEach(function (listener) { listener(chosen); });
  }
  function choose(generation, key) {
    chosen = Math.max(0, Math.min(data.last, Math.round(generation)));
    if (key !== undefined) chart = key;
    show();
    keep();
  }
  function open(element) {
    for (var fold = element.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
  }
  function read() {
    var asked = {}, words = location.hash.slice(1);
    words.split("&").forEach(function (part) {
      var at = part.indexOf("=");
      if (at > 0) asked[part.slice(0, at)] = decodeURIComponent(part.slice(at + 1));
    });
    if (/^\d+$/.test(asked.generation || "")) chosen = Math.min(data.last, Number(asked.generation));
    chart = asked.chart || "";
    show();
    var target = document.getElementById(chart ? "chart=" + chart : words);
    if (!target) return;
    open(target);
    target.scrollIntoView();
  }
  range.addEventListener("input", function () { choose(Number(range.value)); });
  window.addEventListener("hashchange", read);
  bar.hidden = false;
  return {
    data: data, name: name, choose: choose, address: address, start: read,
    chosen: function () { return chosen; },
    follow: function (listener) { listeners.push(listener); }
  };
})();
function nearestRow(rows, generation) { // the last row that is not after a generation
  var best = rows[0];
  Array.prototype.forEach.call(rows, function (row) { if (Number(row.dataset.generation) <= generation) best = row; });
  return best;
}
