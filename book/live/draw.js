// Draw a digit: it is centred as MNIST's are, encoded, decoded, and billed in nats.
"use strict";

live.figure("draw", ["mnist-z2", "mnist-z16", "digits"], function (stage) {
  const data = live.digits(), side = 280, pen = 26;
  const state = { strokes: [], digit: 12, pixels: null, model: "mnist-z2", show: "mean", samples: 16, seed: 1 };
  let x, mean, log_var, draws = [], log_weights = [], log_likelihoods = [], weighing = false;

  const left = stage.group("left column"), right = stage.group("right");
  const pad = stage.image("Draw here", side, side, left);
  const paper = pad.canvas.getContext("2d");
  pad.canvas.classList.add("live-pad");
  const buttons = stage.group("buttons", left);
  stage.button("Clear", buttons, () => change({ strokes: [], digit: null, pixels: null }));
  stage.button("A real digit", buttons, () => change({ digit: ((state.digit ?? 0) + 11) % data.labels.length, pixels: null, strokes: [] }));

  const pictures = stage.group("images", right);
  const read = stage.image("x, as the encoder reads it", 28, 28, pictures);
  const drawn = stage.image("its reconstruction", 28, 28, pictures);
  const model = stage.menu("Model", { "mnist-z2": "2 latents", "mnist-z16": "16 latents" }, right, (to) => change({ model: to }));
  const show = stage.choice("Decode", { mean: "the mean of q", draw: "a draw from q" }, right, (to) => change({ show: to }));
  const again = stage.button("Draw again", right, () => change({ show: "draw", seed: state.seed + 1 }));

  const planeBox = stage.group("later", left);
  const plane = stage.plane("The plane of codes, with this image's q(z | x)", { extent: 3.5, names: ["z1", "z2"], parent: planeBox });
  plane.points(data.codes.map(([a, b], i) => ({ x: a, y: b, colour: data.colour(i) })), "live-points faint");
  for (let digit = 0; digit <= 9; digit++) plane.words(...data.middle(digit), digit, data.colours[digit]);
  const posterior = [2, 1].map((sigmas) => [sigmas, plane.ellipse("live-posterior")]);

  const ring = plane.ellipse("live-ring"); // the ellipses may be tiny
  const ledger = stage.group("ledger", right);
  const bars = stage.bars(ledger);
  const slider = stage.slider("Draws K", { min: 0, max: 6, value: 4, parent: ledger, show: (e) => 2 ** e }, (e) => change({ samples: 2 ** e }));
  const numbers = stage.group("numbers", ledger);
  const distortion = stage.number("distortion, −E log p(x | z)", numbers, "nats", { colour: "claim" });
  const rate = stage.number("rate, KL from q(z | x) to p(z)", numbers, "nats", { colour: "recipe" });
  const negative_elbo = stage.number("their sum, −ELBO", numbers, "nats");
  const tighter = stage.number("K draws weighed together", numbers, "nats", { colour: "meaning" });

  function change(part) {
    Object.assign(state, part);
    model.set(state.model), show.set(state.show), slider.set(Math.log2(state.samples));
    again.disabled = state.show === "mean";
    planeBox.hidden = state.model !== "mnist-z2";
    x = image();
    ({ mean, log_var } = vaelib.model(state.model).encode(x));
    read.draw(x);
    for (const [sigmas, ellipse] of posterior) ellipse(mean[0], mean[1], ...[0, 1].map((j) => sigmas * Math.exp(log_var[j] / 2)));
    ring(mean[0], mean[1], 0.3, 0.3);
    const { normal } = vaelib.generator(state.seed);
    draws = Array.from({ length: state.samples }, () => mean.map((m, j) => m + Math.exp(log_var[j] / 2) * normal()));
    log_weights = [], log_likelihoods = [];
    weigh();
    const z = state.show === "mean" ? mean : draws[0];
    drawn.draw(vaelib.model(state.model).expected_image(vaelib.model(state.model).decode(z)));
    if (!weighing) stage.animate(() => (weighing = weigh()));
    weighing = true;
  }

  // the draws are decoded a few at a time, so that the pen is never kept waiting; true while some are left
  function weigh() {
    for (const z of draws.slice(log_weights.length, log_weights.length + 3)) {
      const log_likelihood = vaelib.bernoulli_log_likelihood(x, vaelib.model(state.model).decode(z));
      const zeros = z.map(() => 0);
      log_likelihoods.push(log_likelihood);
      log_weights.push(log_likelihood + vaelib.normal_log_density(z, zeros, zeros) - vaelib.normal_log_density(z, mean, log_var));
    }
    const n = log_weights.length;
    const d = -vaelib.sum(log_likelihoods) / n, r = vaelib.sum(vaelib.kl_per_dimension(mean, log_var));
    const bound = Math.log(n) - vaelib.logsumexp(log_weights);
    distortion.set(d), rate.set(r), negative_elbo.set(d + r), tighter.set(bound);
    bars.set([[[d, "claim"], [r, "recipe"]], [[bound, "meaning"]]]);
    if (n < draws.length) return true;
    stage.say(`Distortion ${d.toFixed(1)} nats, rate ${r.toFixed(1)}, together ${(d + r).toFixed(1)}; ${n} draws weighed together ${bound.toFixed(1)}.`);
    return false;
  }

  // ---- the drawing ----

  function image() {
    paper.fillStyle = "black";
    paper.fillRect(0, 0, side, side);
    if (state.pixels || state.digit !== null) {
      const pixels = state.pixels ? centred(state.pixels, 28).map((v) => (v < 0.5 ? 0 : 1)) : data.pixels(state.digit);
      paper.fillStyle = "white";
      pixels.forEach((v, i) => v && paper.fillRect((i % 28) * 10, Math.floor(i / 28) * 10, 10, 10));
      return pixels;
    }
    Object.assign(paper, { strokeStyle: "white", lineWidth: pen, lineCap: "round", lineJoin: "round" });
    for (const stroke of state.strokes) {
      paper.beginPath();
      paper.moveTo(...stroke[0]);
      for (const point of stroke) paper.lineTo(...point);
      paper.stroke();
    }
    const { data: rgba } = paper.getImageData(0, 0, side, side);
    const grey = Array.from({ length: side * side }, (_, i) => rgba[4 * i] / 255);
    return centred(grey, side).map((v) => (v < 0.5 ? 0 : 1));
  }

  // MNIST's own way: the ink's box scaled to 20 pixels, its centre of mass put on cell 14 of 28
  function centred(grey, width) {
    const ys = [], xs = [];
    grey.forEach((v, i) => v > 0.02 && (ys.push(Math.floor(i / width)), xs.push(i % width)));
    if (!xs.length) return new Array(784).fill(0);
    const least = (all) => all.reduce((a, b) => Math.min(a, b)), most = (all) => all.reduce((a, b) => Math.max(a, b));
    const [y0, x0] = [least(ys), least(xs)], [h, w] = [most(ys) - y0 + 1, most(xs) - x0 + 1];
    const cell = Math.max(h, w) / 20, [rows, columns] = [h, w].map((n) => Math.max(1, Math.round(n / cell)));
    const small = [];
    for (let r = 0; r < rows; r++) for (let c = 0; c < columns; c++)
      small.push(average(grey, width, y0 + (r * h) / rows, y0 + ((r + 1) * h) / rows, x0 + (c * w) / columns, x0 + ((c + 1) * w) / columns));
    const mass = vaelib.sum(small);
    const within = (most, first) => Math.max(0, Math.min(most, first)); // a stroke far from the middle is not cut
    const down = within(28 - rows, Math.round(14 - vaelib.sum(small.map((v, i) => v * Math.floor(i / columns))) / mass));
    const across = within(28 - columns, Math.round(14 - vaelib.sum(small.map((v, i) => v * (i % columns))) / mass));
    const whole = new Array(784).fill(0);
    small.forEach((v, i) => {
      const y = Math.floor(i / columns) + down, at = (i % columns) + across;
      if (y >= 0 && y < 28 && at >= 0 && at < 28) whole[28 * y + at] = v;
    });
    return whole;
  }

  function average(grey, width, top, bottom, from, to) {
    let sum = 0;
    for (let y = Math.floor(top); y < bottom; y++) {
      const high = Math.min(bottom, y + 1) - Math.max(top, y);
      for (let x = Math.floor(from); x < to; x++) sum += high * (Math.min(to, x + 1) - Math.max(from, x)) * (grey[y * width + x] ?? 0);
    }
    return sum / ((bottom - top) * (to - from));
  }

  let stroke = null, asked = false;
  const at = (event) => {
    const box = pad.canvas.getBoundingClientRect(), unit = side / box.width;
    return [(event.clientX - box.left) * unit, (event.clientY - box.top) * unit];
  };
  const later = () => asked || ((asked = true), requestAnimationFrame(() => ((asked = false), change({}))));
  pad.canvas.addEventListener("pointerdown", (event) => {
    pad.canvas.setPointerCapture(event.pointerId);
    state.strokes.push((stroke = [at(event)]));
    Object.assign(state, { digit: null, pixels: null });
    later();
  });
  pad.canvas.addEventListener("pointermove", (event) => stroke && (stroke.push(at(event)), later()));
  for (const end of ["pointerup", "pointercancel"]) pad.canvas.addEventListener(end, () => (stroke = null));

  change({});
  return { get: () => ({ ...structuredClone(state), draws: draws.map((z) => [...z]), weighed: log_weights.length }), set: change };
});
