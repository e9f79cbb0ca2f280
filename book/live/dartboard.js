// The dartboard: codes drawn from the prior, the few near the posterior, and the average that hangs on them.
"use strict";

live.figure("dartboard", [], function (stage) {
  const state = { x: [0.8, 0.5], d: 2, sigma: 0.3, draws: 100, seed: 1 };
  const most = 10000, widest = 16, shownAtMost = 800, span = 3.4;
  let darts = [], generator, thrown; // one long list: `widest` coordinates a dart, so that d and the number may change

  const left = stage.group("left"), right = stage.group("right");
  const board = stage.plane("Codes drawn from the prior, and the posterior of x", { extent: span, names: ["z1", "z2"], parent: left });
  const field = stage.add(stage.make("g", { "aria-hidden": "true" }), board.svg);
  const target = stage.add(stage.make("rect", { class: "live-posterior", "aria-hidden": "true" }), board.svg);
  const hand = board.handle("The image x", (a, b) => change({ x: [a, b] }), (a, b) => `x1 ${a.toFixed(2)}, x2 ${b.toFixed(2)}`);

  const dimension = stage.slider("latents d", { min: 2, max: widest, value: 2, parent: right }, (d) => change({ d }));
  const count = stage.slider("draws L", { min: 0, max: 16, value: 8, parent: right, show: (e) => Math.round(10 ** (e / 4)) }, (e) => change({ draws: Math.round(10 ** (e / 4)) }));
  const noise = stage.slider("sigma", { min: 0.1, max: 1, step: 0.05, value: 0.3, parent: right, show: (v) => v.toFixed(2) }, (sigma) => change({ sigma }));
  stage.button("Throw again", right, () => change({ seed: state.seed + 1 }));
  const box = stage.group("later", right);
  const run = stage.plane("How far the logarithm of the average is off, after so many draws", { across: [0, 4], upward: [-20, 4], rows: 5, height: 210,
    names: ["L", "nats off"], said: (t) => 10 ** t, parent: box });
  stage.put(run.svg, { class: "live-plane still", role: "img" });
  const trail = run.path("live-curve");

  const numbers = stage.group("numbers equations wide");
  const exact = stage.number("log p(x), exact", numbers, "nats");
  const estimate = stage.number("log of the average over the draws", numbers, "nats");
  const off = stage.number("off by", numbers, "nats");
  const near = stage.number("draws within two deviations of the posterior in every latent", numbers, "", { digits: 0, colour: "recipe" });
  const needed = stage.number("ρ − 1, draws needed", numbers, "", { digits: 1 });

  function throwTo(draws, seed) {
    if (thrown !== seed) darts = [], generator = vaelib.generator((thrown = seed));
    while (darts.length < draws * widest) darts.push(generator.normal());
  }

  function change(part) {
    Object.assign(state, part);
    const { x, d, sigma, draws, seed } = state, variance = sigma ** 2;
    throwTo(draws, seed);
    dimension.set(d), noise.set(sigma), count.set(Math.round(4 * Math.log10(draws)));
    const image = [...x, ...new Array(widest - 2).fill(0)].slice(0, d); // the latents beyond two are to be 0
    const zeros = image.map(() => 0);
    const log_p = vaelib.normal_log_density(image, zeros, zeros.map(() => Math.log1p(variance)));
    const centre = image.map((v) => v / (1 + variance)), deviation = Math.sqrt(variance / (1 + variance));

    let top = -Infinity, sum = 0, hits = 0, nextMark = 1;
    const curve = [], missed = [], hit = [];
    for (let n = 0; n < draws; n++) {
      let squares = 0, close = true;
      for (let j = 0; j < d; j++) {
        const v = darts[n * widest + j];
        squares += (image[j] - v) ** 2;
        close &&= Math.abs(v - centre[j]) < 2 * deviation;
      }
      const log_likelihood = -0.5 * (d * Math.log(2 * Math.PI * variance) + squares / variance);
      if (log_likelihood > top) (sum *= Math.exp(top - log_likelihood)), (top = log_likelihood);
      sum += Math.exp(log_likelihood - top);
      hits += close;
      if (close || n < shownAtMost) (close ? hit : missed).push([darts[n * widest], darts[n * widest + 1]]);
      if (n + 1 >= nextMark || n + 1 === draws) curve.push([Math.log10(n + 1), top + Math.log(sum / (n + 1)) - log_p]), (nextMark *= 1.03);
    }
    const average = top + Math.log(sum / draws);
    exact.set(log_p), estimate.set(average), off.set(average - log_p), near.set(hits), needed.set(rho(image, variance) - 1);
    draw(missed, hit.slice(0, shownAtMost)), trail(curve);
    const side = board.sx(4 * deviation) - board.sx(0);
    stage.put(target, { x: board.sx(centre[0] - 2 * deviation), y: board.sy(centre[1] + 2 * deviation), width: side, height: side });
    hand.set(...x);
    stage.say(`${draws} draws in ${d} dimensions, ${hits} near the posterior; the logarithm of the average is off by ${off.element.textContent} nats.`);
  }

  // prop:rho-product and ex:naive-mc
  function rho(image, v) {
    return Math.exp(vaelib.sum(image.map((x) => Math.log((1 + v) / Math.sqrt(v * (2 + v))) + (x * x) / ((1 + v) * (2 + v)))));
  }

  function draw(missed, hit) {
    const dot = ([a, b], kind, r) => stage.make("circle", { cx: board.sx(a), cy: board.sy(b), r, class: kind });
    const inside = ([a, b]) => Math.abs(a) < span && Math.abs(b) < span;
    field.replaceChildren(...missed.filter(inside).map((z) => dot(z, "live-missed", 2)), ...hit.map((z) => dot(z, "live-hit", 4.5)));
  }

  change({});
  return { get: () => ({ ...state, z: darts.slice(0, state.draws * widest) }), set: change };
});
