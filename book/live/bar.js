// The bar: q moves over the ring's exact posterior, and cuts log p(x) into the ELBO and the gap.
"use strict";

live.figure("bar", ["ring"], function (stage) {
  const { images, grid, log_evidence, log_posterior, log_joint, elbo, kl, expected_log_likelihood, slopes } = live.ring;
  const state = { image: "top", mean: 0.5, log_var: 0, samples: 1, seed: 1 };
  const draws = 8192, bins = 60, highest = 4;
  let noise = [], noisy, x, evidence, posterior;

  const left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("q over the posterior", { across: [-3.2, 3.2], upward: [0, highest], height: 270, steps: [0.05, 0.1], names: ["z", "density"], parent: left });
  const shape = plane.path("live-area truth"), prior = plane.path("live-curve quiet"), bell = plane.path("live-curve claim");
  prior(grid.map((z) => [z, Math.exp(live.ring.log_prior(z))]).filter(([z]) => Math.abs(z) <= 3.2));
  const top = plane.bell([2 * Math.log(0.05), 2 * Math.log(2)], (mean, log_var) => change({ mean, log_var }));

  stage.add(stage.make("p", { class: "live-row" }, ...stage.formula("grey: the posterior p(z | x); line: q(z); dashed: the prior p(z)")), left);

  const image = stage.choice("Image x at the", { top: "top", bottom: "bottom", side: "side", middle: "middle of the ring" }, right, (to) => change({ image: to }));
  const place = stage.slider("mean", { min: -3, max: 3, step: 0.01, value: 0, parent: right, show: (v) => v.toFixed(2) }, (mean) => change({ mean }));
  const width = stage.slider("log_var", { min: -6, max: 1.4, step: 0.01, value: 0, parent: right, show: (v) => v.toFixed(2) }, (log_var) => change({ log_var }));
  const count = stage.slider("draws K", { min: 0, max: 10, value: 0, parent: right, show: (e) => 2 ** e }, (e) => change({ samples: 2 ** e }));
  const buttons = stage.group("buttons", right);
  stage.button("Climb the ELBO", buttons, () => climb());
  stage.button("Draw again", buttons, () => change({ seed: state.seed + 1 }));

  const numbers = stage.group("numbers equations wide");
  const shown = {
    evidence: stage.number("log p(x), where the bar ends", numbers, "nats"),
    elbo: stage.number("ELBO", numbers, "nats", { colour: "claim" }),
    gap: stage.number("gap, KL from q to the posterior", numbers, "nats", { digits: 3, colour: "recipe" }),
    bound: stage.number("bound of K draws weighed together", numbers, "nats", { colour: "meaning" }),
    likelihood: stage.number("E log p(x | z)", numbers, "nats"),
    kl: stage.number("KL from q to the prior", numbers, "nats"),
  };

  // bars and weights on one scale of nats, which ends a sixth beyond log p(x)
  const scale = stage.add(stage.make("div", { class: "live-nats live-wide", "aria-hidden": "true" }));
  const row = (words, ...kinds) => {
    const parts = kinds.map((kind) => stage.make("span", { style: `background: var(--${kind})` }));
    stage.add(stage.make("div", { class: "live-nats-row" }, stage.make("span", { class: "live-nats-name" }, words), ...parts), scale);
    return parts;
  };
  const [bar, rest] = row("ELBO", "claim", "recipe"), [tighter] = row("K draws", "meaning");
  const weights = stage.add(stage.make("div", { class: "live-nats-weights" }), scale);
  const columns = Array.from({ length: bins }, () => stage.add(stage.make("span"), weights));
  const ruler = stage.add(stage.make("div", { class: "live-nats-ruler" }), scale);

  function change(part) {
    Object.assign(state, part);
    const { mean, log_var, samples } = state, deviation = Math.exp(log_var / 2);
    x = images[state.image];
    evidence = log_evidence(x), posterior = log_posterior(x);
    image.set(state.image), place.set(mean), width.set(log_var), count.set(Math.log2(samples));
    const seen = grid.filter((z) => Math.abs(z) <= 3.2);
    shape(seen.map((z) => [z, Math.exp(posterior(z))]));
    bell(Array.from({ length: 161 }, (_, i) => mean + (i - 80) * 0.05 * deviation).filter((z) => Math.abs(z) <= 3.2)
      .map((z) => [z, Math.exp(vaelib.normal_log_density([z], [mean], [log_var]))]));
    top(mean, log_var);

    if (noisy !== state.seed) {
      const { normal } = vaelib.generator((noisy = state.seed));
      noise = Array.from({ length: draws }, normal);
    }
    const log_weights = noise.map((e) => log_joint(x, mean + deviation * e) + 0.5 * (Math.log(2 * Math.PI) + log_var + e * e));
    let bound = 0;
    for (let from = 0; from < draws; from += samples)
      bound += (vaelib.logsumexp(log_weights.slice(from, from + samples)) - Math.log(samples)) * (samples / draws);
    const lower = elbo(x, mean, log_var), gap = evidence - lower;
    shown.evidence.set(evidence), shown.elbo.set(lower), shown.gap.set(gap), shown.bound.set(bound);
    shown.likelihood.set(expected_log_likelihood(x, mean, log_var)), shown.kl.set(kl(mean, log_var));
    draw(lower, bound, log_weights, gap > 2.5 ? 30 : 3);
    stage.say(`Log p of x ${evidence.toFixed(2)}, ELBO ${lower.toFixed(2)}, gap ${gap.toFixed(2)} nats; ${samples} draws weighed together ${bound.toFixed(2)}.`);
  }

  function draw(lower, bound, log_weights, length) {
    const start = evidence - length, percent = (nats) => 100 * Math.min(1, Math.max(0, (nats - start) / (1.2 * length)));
    bar.style.width = `${percent(lower)}%`;
    rest.style.width = `${percent(evidence) - percent(lower)}%`;
    tighter.style.width = `${percent(bound)}%`;
    const counts = new Array(bins).fill(0);
    for (const w of log_weights) {
      const bin = Math.floor(((w - start) / (1.2 * length)) * bins);
      if (bin >= 0 && bin < bins) counts[bin]++;
    }
    const tallest = Math.max(...counts, draws / 20);
    columns.forEach((column, i) => (column.style.height = `${(100 * counts[i]) / tallest}%`));
    const words = [0, 1].map((half) => stage.fixed(start + (half * length) / 2, 1));
    ruler.replaceChildren(...words.map((text) => stage.make("span", {}, text)), stage.make("b", {}, `log p(x) = ${stage.fixed(evidence)}`));
  }

  // ascent along the gradient, each direction in units of q's own width; never more than a tenth at once
  function step() {
    const [mean_slope, log_var_slope] = slopes(x, state.mean, state.log_var), most = (v) => Math.min(0.1, Math.max(-0.1, v));
    const by = [most(0.05 * Math.exp(state.log_var) * mean_slope), most(0.1 * log_var_slope)];
    Object.assign(state, { mean: state.mean + by[0], log_var: state.log_var + by[1] });
    return Math.max(...by.map(Math.abs)) > 1e-6;
  }
  let climbing = 0;
  function climb() {
    const mine = ++climbing, here = state.image;
    const stops = () => mine !== climbing || state.image !== here;
    if (stage.still.matches) {
      while (step());
      return change({});
    }
    stage.animate(() => {
      if (stops()) return false;
      const more = step() && step();
      change({});
      return more;
    });
  }

  change({});
  return { get: () => ({ ...state, noise }), set: (to) => (climbing++, change(to)) };
});
