(function () {
  var range = document.getElementById("many-range");
  var out = document.getElementById("many-out");
  var frames = document.querySelectorAll("#many img.now");
  var strips = document.querySelectorAll("figure.strip");
  var wipe = document.getElementById("wipe");
  if (!range) return;
  function nearest(strip, generation) {
    var best = null;
    strip.querySelectorAll("img").forEach(function (image) {
      if (Number(image.dataset.generation) <= generation) best = image;
    });
    return best;
  }
  function take(frame, order) {
    var image = nearest(strips[order], Number(range.value));
    if (frame.src !== image.src) frame.src = image.src;
    frame.alt = image.alt;
  }
  var sides = [], picks = [], frame, divider, said;
  function cut() {
    var at = Number(divider.value), names = sides.map(function (side) { return side.dataset.label; });
    frame.style.setProperty("--at", at + "%");
    divider.setAttribute("aria-valuetext",
      names[0] + " on the left " + at + " %, " + names[1] + " on the right " + (100 - at) + " %");
  }
  function show() {
    frames.forEach(take);
    if (wipe) {
      sides.forEach(function (side) { take(side, Number(side.dataset.group)); });
      cut();
    }
    out.textContent = range.value;
    range.setAttribute("aria-valuetext", range.value === "0" ? "real" : "generation " + range.value);
  }
  if (wipe) {
    frame = wipe.querySelector(".wipe-frame");
    sides = Array.prototype.slice.call(frame.querySelectorAll("img"));
    picks = Array.prototype.slice.call(wipe.querySelectorAll("select"));
    said = wipe.querySelectorAll(".wipe-names bdi");
    divider = document.createElement("input");
    divider.type = "range"; divider.id = "wipe-range"; divider.min = 0; divider.max = 100; divider.step = 1;
    divider.value = 50;
    wipe.querySelector(".slider").appendChild(divider);
    divider.addEventListener("input", cut);
    var choose = function () {
      sides.forEach(function (side, k) {
        if (picks.length) side.dataset.group = picks[k].value;
        side.dataset.label = strips[side.dataset.group].dataset.label;
        if (said.length) said[k].textContent = side.dataset.label;
      });
      var reals = sides.map(function (side) { return nearest(strips[side.dataset.group], 0).src; });
      wipe.querySelectorAll("[data-alike]").forEach(function (words) {
        words.hidden = (words.dataset.alike === "yes") !== (wipe.dataset.copies === "yes" && reals[0] === reals[1]);
      });
      show();
    };
    picks.forEach(function (pick) { pick.addEventListener("change", choose); });
    var point = function (event) {
      var box = frame.getBoundingClientRect();
      var at = Math.round(100 * (event.clientX - box.left) / box.width);
      divider.value = Math.max(0, Math.min(100, at));
      cut();
    };
    frame.addEventListener("pointerdown", function (event) {
      frame.setPointerCapture(event.pointerId);
      point(event);
    });
    frame.addEventListener("pointermove", function (event) {
      if (frame.hasPointerCapture(event.pointerId)) point(event);
    });
    wipe.hidden = false;
    choose();
  }
  range.addEventListener("input", show);
  range.parentElement.hidden = false;
  show();
})();
