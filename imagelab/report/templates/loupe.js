(function () {
  var flip = document.getElementById("flip");
  var loupe = document.getElementById("loupe");
  if (!lab || !flip || !loupe) return;
  var rows = document.querySelectorAll("#" + flip.dataset.strip + " img");
  var circles = document.getElementById("circles"), hero = lab.data.hero;
  var frames = flip.querySelectorAll(".frame");
  var lenses = loupe.querySelectorAll("canvas");
  var side = Number(loupe.dataset.side), tile = side + 2, high = Number(loupe.dataset.high);
  var times = Math.max(1, Math.round(lenses[0].width / Math.max(4, Math.floor(Math.min(24, 3 * side / 8) / 2) * 2)));
  var field = lenses[0].width / times, half = field / 2;
  var at = { x: loupe.dataset.x * side, y: loupe.dataset.y * high };
  var both = lenses.length > 1, marked = both ? frames : [frames[1]];
  var marks = Array.prototype.map.call(marked, function (frame) {
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
  function ring(pen, generation, face) {
    if (!circles || !circles.checked) return;
    pen.strokeStyle = "#fff";
    pen.lineWidth = 2;
    (hero.spots[generation][face] || []).forEach(function (spot) {
      pen.beginPath();
      pen.arc((face * tile + spot[0] + 0.5 - at.x + half) * times, (spot[1] + 0.5 - at.y + half) * times,
        2.2 * times, 0, 2 * Math.PI);
      pen.stroke();
    });
  }
  function draw() {
    var now = nearestRow(rows, lab.chosen()), shown = both ? [rows[0], now] : [now], face = Math.floor(at.x / tile);
    lenses.forEach(function (lens, order) {
      var row = shown[order], generation = Number(row.dataset.generation), who = lab.name(generation);
      var pen = lens.getContext("2d");
      function paint() {
        pen.imageSmoothingEnabled = false;
        pen.drawImage(row, at.x - half, at.y - half, field, field, 0, 0, lens.width, lens.height);
        ring(pen, generation, face);
      }
      if (row.complete && row.naturalWidth) paint(); else row.addEventListener("load", draw, { once: true });
      lens.setAttribute("aria-label", "Picture " + (face + 1) + ", enlarged: " + who);
      lens.nextElementSibling.textContent = who;
    });
    marks.forEach(function (mark) {
      mark.style.cssText = "left:" + (at.x - half) * scale() + "px;top:" + (at.y - half) * scale() + "px;width:" +
        field * scale() + "px;height:" + field * scale() + "px";
    });
  }
  Array.prototype.forEach.call(marked, function (frame) {
    function point(event) {
      var box = frame.getBoundingClientRect();
      move((event.clientX - box.left) / scale(), (event.clientY - box.top) / scale());
    }
    frame.addEventListener("pointermove", function (event) { if (event.pointerType === "mouse") point(event); });
    frame.addEventListener("click", point);
  });
  loupe.addEventListener("keydown", function (event) {
    var step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || event.target !== loupe) return;
    event.preventDefault();
    var wide = event.shiftKey ? tile : 2, face = Math.floor(at.x / tile);
    var x = at.x + step[0] * wide, over = step[0] * (x - face * tile) > step[0] * (step[0] > 0 ? side - half : half);
    move(over && !event.shiftKey ? (face + step[0]) * tile + (step[0] > 0 ? half : side - half) : x, at.y + step[1] * 2);
  });
  window.addEventListener("resize", function () { move(at.x, at.y); });
  loupe.hidden = false;
  lab.follow(draw);
  move(at.x, at.y);
})();
