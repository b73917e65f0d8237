// The table: show only some rows, and the farthest from real first.
(function () {
  var sorting = document.getElementById("sorting"), body = document.querySelector("table.numbers tbody");
  if (!sorting || !body) return;
  var filter = document.getElementById("filter"), order = document.getElementById("order");
  var rows = Array.prototype.slice.call(body.rows);
  function far(row) { return row.dataset.far === "" ? -1 : Number(row.dataset.far); }
  function show() {
    var words = filter.value.toLowerCase().split(/\s+/);
    var sorted = order.value ? rows.slice().sort(function (a, b) { return far(b) - far(a); }) : rows;
    sorted.forEach(function (row) {
      var text = row.cells[0].textContent.toLowerCase();
      row.hidden = !words.every(function (word) { return text.indexOf(word) >= 0; });
      body.appendChild(row);
    });
  }
  filter.addEventListener("input", show);
  order.addEventListener("change", show);
  sorting.hidden = false;
})();
