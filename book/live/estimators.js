// Two estimators race: single draws of the score function and of the pathwise gradient, on the ring of notebook 1.
"use strict";

live.figure("estimators", ["ring"], function (stage) {
  const ring = live.ring, most = 400;
  const state = { image: "bottom", mean: 0.7, log_var: 2 * Math.log(0.5), baseline: 0, seed: 2, draws: 6 };
  let noise = [];

  const buttons = stage.group("wide buttons"), left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("The function f and six draws", { across: [-3, 3], upward: [-60, 10], height: 250, names: ["z", "f(z)"], rows: 20, steps: [0.05, 1], parent: left });
  const f_line = plane.path("live-stroke f"), q_line = plane.path("live-stroke q"), level = plane.path("live-stroke level"), stems = plane.path("live-stroke stems");
  let dots = plane.points([]);
  const handle = plane.handle("Mean of q and baseline b", (x, y) => change({ mean: x, baseline: y }), (x, y) => `mean ${x.toFixed(2)}, baseline ${y.toFixed(0)}`);
  const arrowWords = stage.add(stage.make("p", { class: "live-row" }), left);
  const arrows = stage.add(stage.make("svg", { viewBox: "0 0 400 128", role: "img", class: "live-curves live-arrows" }), left);
  const race = stage.curves("Running means of both estimators", "draws", "running mean of the draws", left, -60);

  stage.button("Six new draws", buttons, () => change({ seed: state.seed + 1, draws: 6 }));
  stage.button("Race: 400 draws", buttons, () => run());
  stage.button("Best baseline", buttons, () => change({ baseline: exact().best }));
  const image = stage.choice("Image x", { bottom: "bottom", side: "side", top: "top" }, right, (to) => change({ image: to }));
  const sliders = {
    mean: stage.slider("Mean of q", { min: -3, max: 3, step: 0.05, value: 0, parent: right, show: (v) => v.toFixed(2) }, (v) => change({ mean: v })),
    sigma: stage.slider("Its σ", { min: -8, max: 4, value: 0, parent: right, show: (e) => (2 ** (e / 4)).toFixed(2) }, (e) => change({ log_var: (e / 2) * Math.LN2 })),
    baseline: stage.slider("Baseline b", { min: -60, max: 10, value: 0, parent: right }, (v) => change({ baseline: v })),
  };
  const numbers = stage.group("numbers", right);
  const truth = stage.number("exact gradient of E f(z) in the mean", numbers, "");
  const means = { pathwise: stage.number("pathwise, mean of the draws", numbers, "", { colour: "claim" }),
    score: stage.number("score function, mean of the draws", numbers, "", { colour: "recipe" }) };
  const spreads = { pathwise: stage.number("pathwise, standard deviation of one draw", numbers, "", { colour: "claim" }),
    score: stage.number("score function, standard deviation of one draw", numbers, "", { colour: "recipe" }) };
  const worth = stage.number("score-function draws worth one pathwise draw", numbers, "", { digits: 1 });

  const x = () => ring.images[state.image], f = (z) => ring.log_likelihood(x(), z);
  const at = (epsilon) => state.mean + Math.exp(state.log_var / 2) * epsilon; // z, eq:reparam
  const estimators = {
    pathwise: (epsilon) => ring.score(x(), at(epsilon)) + at(epsilon), // the slope of f alone, without the prior's
    score: (epsilon) => ((f(at(epsilon)) - state.baseline) * epsilon) / Math.exp(state.log_var / 2), // eq:score-function
  };

  // means and spreads over all noise, by the midpoint rule
  function exact() {
    const step = 0.01, all = Array.from({ length: 1600 }, (_, i) => -8 + (i + 0.5) * step);
    const mass = all.map((e) => (step * Math.exp(-e * e / 2)) / Math.sqrt(2 * Math.PI));
    const mean = (of) => all.reduce((sum, e, i) => sum + mass[i] * of(e), 0);
    const gradient = ring.slopes(x(), state.mean, state.log_var)[0] + state.mean;
    const spread = (estimate) => Math.sqrt(mean((e) => (estimate(e) - gradient) ** 2));
    return { gradient, pathwise: spread(estimators.pathwise), score: spread(estimators.score), best: mean((e) => f(at(e)) * e * e) };
  }

  function change(part) {
    Object.assign(state, part);
    const { normal } = vaelib.generator(state.seed);
    noise = Array.from({ length: state.draws }, normal);
    image.set(state.image), sliders.mean.set(state.mean), sliders.baseline.set(Math.round(state.baseline)), sliders.sigma.set(Math.round(2 * state.log_var / Math.LN2));
    handle.set(state.mean, state.baseline);
    const found = exact(), running = {};
    truth.set(found.gradient);
    for (const [name, estimate] of Object.entries(estimators)) {
      let sum = 0;
      running[name] = noise.map((e, i) => [i + 1, (sum += estimate(e)) / (i + 1)]);
      means[name].set(sum / noise.length), spreads[name].set(found[name]);
    }
    worth.set((found.score / found.pathwise) ** 2);
    drawPlane(), drawArrows();
    race.set([{ name: "exact", colour: "ink", dashed: true, points: [[0, found.gradient], [state.draws, found.gradient]] },
      { name: "pathwise", colour: "claim", points: running.pathwise }, { name: "score", colour: "recipe", points: running.score }]);
    const after = (name) => running[name].at(-1)[1].toFixed(1);
    stage.say(`Exact gradient ${found.gradient.toFixed(1)}. After ${state.draws} draws pathwise ${after("pathwise")}, score function ${after("score")}; ` +
      `spread of one draw ${found.pathwise.toFixed(1)} and ${found.score.toFixed(1)}.`);
  }

  function drawPlane() {
    const zs = Array.from({ length: 241 }, (_, i) => -3 + i / 40), sigma = Math.exp(state.log_var / 2);
    f_line(zs.map((z) => [z, f(z)]));
    q_line(zs.map((z) => [z, -60 + 22 * Math.exp(-0.5 * ((z - state.mean) / sigma) ** 2)]));
    level([[-3, state.baseline], [3, state.baseline]]);
    const six = noise.slice(0, 6).map(at).filter((z) => Math.abs(z) <= 3);
    dots.remove();
    dots = plane.points(six.map((z) => ({ x: z, y: f(z), colour: "var(--recipe)" })), "live-points draws");
    stems(six.flatMap((z) => [[z, state.baseline], [z, f(z)], [z, state.baseline]]));
    plane.svg.append(handle.element);
  }

  // an arrow for each of the first six draws, from where it fell towards where it would move q
  function drawArrows() {
    const six = noise.slice(0, 6), values = Object.values(estimators).flatMap((estimate) => six.map(estimate));
    const unit = 130 / Math.max(...values.map(Math.abs));
    arrows.replaceChildren();
    Object.entries({ pathwise: "claim", score: "recipe" }).forEach(([name, colour], row) => {
      stage.add(stage.make("text", { x: 2, y: 64 * row + 12, style: `fill: var(--${colour})` }, name === "score" ? "score function" : name), arrows);
      six.forEach((e, i) => {
        const from = plane.sx(Math.max(-3, Math.min(3, at(e)))), to = from + unit * estimators[name](e), y = 64 * row + 20 + 7 * i, tip = Math.sign(to - from) * Math.min(6, Math.abs(to - from));
        const d = `M${from} ${y}H${to}m${-tip} -3l${tip} 3l${-tip} 3`;
        stage.add(stage.make("path", { d, style: `stroke: var(--${colour})` }), arrows);
        stage.add(stage.make("circle", { cx: from, cy: y, r: 2.2, style: `fill: var(--${colour})` }), arrows);
      });
    });
    arrowWords.textContent = "Where each of the six draws would move q, and how far";
    stage.put(arrows, { "aria-label": `Pathwise: ${six.map((e) => estimators.pathwise(e).toFixed(0)).join(", ")}. Score function: ${six.map((e) => estimators.score(e).toFixed(0)).join(", ")}` });
  }

  function run() {
    if (stage.still.matches) return change({ draws: most });
    change({ draws: 6 });
    const { seed } = state;
    stage.animate(() => {
      if (state.seed !== seed || state.draws >= most) return false;
      change({ draws: Math.min(most, state.draws + 4) });
      return state.draws < most;
    });
  }

  change({});
  return { get: () => ({ ...state, noise: [...noise] }), set: change };
});
