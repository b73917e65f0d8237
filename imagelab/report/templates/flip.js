(function () {
  var flip = document.getElementById("flip");
  if (!flip) return;
  var rows = document.querySelectorAll("#" + flip.dataset.strip + " img");
  var range = document.getElementById("flip-range");
  var image = document.getElementById("flip-image");
  var who = document.getElementById("flip-who");
  var out = document.getElementById("flip-out");
  function show() {
    var row = rows[range.value];
    var name = row.dataset.generation === "0" ? "real" : "generation " + row.dataset.generation;
    image.src = row.src;
    image.alt = row.alt;
    who.textContent = name;
    out.textContent = row.dataset.generation;
    range.setAttribute("aria-valuetext", name);
  }
  range.addEventListener("input", show);
  range.parentElement.hidden = false;
  show();
})();
