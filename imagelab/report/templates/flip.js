(function () {
  if (!lab) return;
  var flip = document.getElementById("flip"), circles = document.getElementById("circles"), hero = lab.data.hero;
  document.querySelectorAll(".strip .row").forEach(function (row) {
    lab.follow(function (generation) {
      row.classList.toggle("now", Number(row.dataset.row) === generation);
    });
  });
  var title = document.getElementById("facts-generation");
  lab.follow(function (generation) {
    document.querySelectorAll(".fact").forEach(function (fact, order) {
      var known = lab.data.facts[order], missing = "–";
      fact.querySelector(".value").textContent = known.value[generation] || missing;
      fact.querySelectorAll("dd").forEach(function (cell, place) {
        cell.textContent = known.beside[place][generation] || missing;
      });
      fact.lastElementChild.textContent = known.note[generation] || "";
    });
    if (title) title.textContent = generation === 0 ? "real images" : "generation " + generation;
  });
  if (!flip) return;
  var rows = document.querySelectorAll("#" + flip.dataset.strip + " img");
  var image = document.getElementById("flip-image"), who = document.getElementById("flip-who");
  var count = document.getElementById("flip-count"), frames = flip.querySelectorAll(".frame");
  lab.follow(function (generation) {
    var row = nearestRow(rows, generation), shown = row.dataset.generation;
    image.src = row.src;
    image.alt = row.alt;
    who.textContent = lab.name(Number(shown));
    if (count && hero) {
      count.textContent = hero.counts[shown];
      document.getElementById("flip-few").textContent = hero.few[shown];
    }
    mark(Number(shown));
  });
  // A circle around each spot that the counter counted.
  function mark(generation) {
    frames.forEach(function (frame, order) {
      var old = frame.querySelector(".spots");
      if (old) old.remove();
      if (!circles || !circles.checked) return;
      var side = rows[0].naturalHeight, tile = side + 2, space = "http://www.w3.org/2000/svg";
      var drawing = document.createElementNS(space, "svg");
      drawing.setAttribute("class", "spots");
      drawing.setAttribute("aria-hidden", "true");
      drawing.setAttribute("viewBox", "0 0 " + rows[0].naturalWidth + " " + side);
      drawing.style.aspectRatio = rows[0].naturalWidth + " / " + side;
      hero.spots[order ? generation : 0].forEach(function (picture, place) {
        picture.forEach(function (spot) {
          var ring = document.createElementNS(space, "circle");
          ring.setAttribute("cx", place * tile + spot[0] + 0.5);
          ring.setAttribute("cy", spot[1] + 0.5);
          ring.setAttribute("r", 2.2);
          drawing.appendChild(ring);
        });
      });
      frame.appendChild(drawing);
    });
  }
  if (circles) circles.addEventListener("change", function () { lab.choose(lab.chosen()); });
})();
