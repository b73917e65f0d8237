(function () {
  var flip = document.getElementById("flip");
  var loupe = document.getElementById("loupe");
  if (!flip || !loupe) return;
  var rows = document.querySelectorAll("#" + flip.dataset.strip + " img");
  var range = document.getElementById("flip-range");
  var frames = flip.querySelectorAll(".frame");
  var lenses = loupe.querySelectorAll("canvas");
  var side = Number(loupe.dataset.side), tile = side + 2, high = Number(loupe.dataset.high);
  var field = lenses[0].width, half = field / 2;
  var at = { x: loupe.dataset.x * side, y: loupe.dataset.y * high };
  var marks = Array.prototype.map.call(frames, function (frame) {
    return frame.appendChild(Object.assign(document.createElement("span"), { className: "mark" }));
  });
  function clamp(value, low, top) { return Math.round(Math.max(low, Math.min(top, value))); }
  function scale() { return frames[0].clientHeight / high; }
  function columns() { return Math.max(1, Math.round((frames[0].clientWidth / scale() + 2) / tile)); }
  function move(x, y) {
    if (!(scale() > 0)) return; // not laid out at this moment
    var face = Math.max(0, Math.min(columns() - 1, Math.floor(x / tile)));
    at = { x: clamp(x, face * tile + half, face * tile + side - half), y: clamp(y, half, high - half) };
    draw();
  }
  function draw() {
    var shown = [rows[0], rows[range.value]], face = Math.floor(at.x / tile) + 1;
    lenses.forEach(function (lens, order) {
      var row = shown[order], who = order ? document.getElementById("flip-who").textContent : "real";
      var pen = lens.getContext("2d");
      function paint() { pen.drawImage(row, at.x - half, at.y - half, field, field, 0, 0, field, field); }
      if (row.complete && row.naturalWidth) paint(); else row.addEventListener("load", draw, { once: true });
      lens.setAttribute("aria-label", "Picture " + face + ", enlarged: " + who);
      lens.nextElementSibling.textContent = who;
    });
    marks.forEach(function (mark) {
      mark.style.cssText = "left:" + (at.x - half) * scale() + "px;top:" + (at.y - half) * scale() + "px;width:" +
        field * scale() + "px;height:" + field * scale() + "px";
    });
  }
  frames.forEach(function (frame) {
    function point(event) {
      var box = frame.getBoundingClientRect();
      move((event.clientX - box.left) / scale(), (event.clientY - box.top) / scale());
    }
    frame.addEventListener("pointermove", function (event) { if (event.pointerType === "mouse") point(event); });
    frame.addEventListener("click", point);
  });
  loupe.addEventListener("keydown", function (event) {
    var step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    var wide = event.shiftKey ? tile : 2, face = Math.floor(at.x / tile);
    var x = at.x + step[0] * wide, over = step[0] * (x - face * tile) > step[0] * (step[0] > 0 ? side - half : half);
    move(over && !event.shiftKey ? (face + step[0]) * tile + (step[0] > 0 ? half : side - half) : x, at.y + step[1] * 2);
  });
  range.addEventListener("input", draw);
  window.addEventListener("resize", function () { move(at.x, at.y); });
  loupe.hidden = false;
  move(at.x, at.y);
})();
