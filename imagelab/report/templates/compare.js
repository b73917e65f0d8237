(function () {
  var range = document.getElementById("many-range");
  var out = document.getElementById("many-out");
  var frames = document.querySelectorAll("#many img.now");
  var strips = document.querySelectorAll("figure.strip");
  if (!range) return;
  function nearest(strip, generation) {
    var best = null;
    strip.querySelectorAll("img").forEach(function (image) {
      if (Number(image.dataset.generation) <= generation) best = image;
    });
    return best;
  }
  function show() {
    frames.forEach(function (frame, order) {
      var image = nearest(strips[order], Number(range.value));
      frame.src = image.src;
      frame.alt = image.alt;
    });
    out.textContent = range.value;
    range.setAttribute("aria-valuetext", range.value === "0" ? "real" : "generation " + range.value);
  }
  range.addEventListener("input", show);
  range.parentElement.hidden = false;
  show();
})();
