// The rate-distortion plane: trained models as dots; one of them is looked at, in numbers and pictures.
"use strict";

live.figure("rate-distortion", ["plane-models"], function (stage) {
  const { series, shown, side, sheets, in_use } = window.VAELIB_DATA["plane-models"];
  const kinds = Object.keys(series), colours = { latents: "claim", prices: "recipe" };
  const levels = Object.fromEntries(kinds.map((kind) => [kind, vaelib.bytesOf(sheets[kind])]));
  const state = { kind: "latents", at: 0 };

  const left = stage.group("left"), right = stage.group("right");
  const all = kinds.flatMap((kind) => series[kind].map((model, at) => ({ kind, at, ...model })));
  const most = (key) => Math.max(...all.map((model) => model[key]));
  const across = [0, 10 * Math.ceil((1.05 * most("rate")) / 10)], upward = [60, 1.08 * most("distortion")];
  const plane = stage.plane("Rate across, distortion upward, in nats; each point is a model", { across, upward, ticks: 10, rows: 20, names: ["R", "D"], parent: left });
  const equal = plane.path("live-stroke level");
  for (const kind of kinds) plane.path(`live-stroke ${kind}`)(series[kind].map(({ rate, distortion }) => [rate, distortion]));
  plane.points(all.map(({ rate, distortion, kind }) => ({ x: rate, y: distortion, colour: `var(--${colours[kind]})` })), "live-points draws");
  const ring = plane.ellipse("live-ring");
  plane.svg.addEventListener("pointerdown", (event) => {
    const [x, y] = plane.at(event), unit = [plane.sx(1) - plane.sx(0), plane.sy(1) - plane.sy(0)];
    const far = all.map(({ rate, distortion }) => Math.hypot(unit[0] * (rate - x), unit[1] * (distortion - y)));
    const { kind, at } = all[far.indexOf(Math.min(...far))];
    change({ kind, at });
  });

  const choice = stage.choice("Along", { latents: "latents d, at β = 1", prices: "price β, at d = 16" }, right, (kind) => change({ kind, at: 0 }));
  const walk = stage.slider("Model", { min: 0, max: 1, value: 0, parent: right, show: (at) => series[state.kind][at].words }, (at) => change({ at }));
  const numbers = stage.group("numbers", right);
  const rate = stage.number("rate R", numbers, "nats", { colour: "recipe" });
  const distortion = stage.number("distortion D", numbers, "nats", { colour: "claim" });
  const negative_elbo = stage.number("R + D, the negative ELBO", numbers, "nats");
  const used = stage.number(`latents in use, KL above ${in_use} nats`, numbers, "", { digits: 0 });
  const chart = stage.add(stage.make("svg", { class: "live-line live-kl", viewBox: "0 0 400 84", role: "img" }), right);

  const wide = shown * side, pictures = stage.group("wide strips");
  const [originals, rebuilt, drawn] = ["eight test digits", "rebuilt", "drawn from the prior"].map((words) => stage.image(words, side, wide, pictures));

  // a row of the study's picture: left half the digits rebuilt, right half those drawn
  function half(kind, row, right) {
    const pixels = [];
    for (let y = row * side; y < (row + 1) * side; y++) {
      const start = (2 * y + (right ? 1 : 0)) * wide;
      for (const level of levels[kind].subarray(start, start + wide)) pixels.push(level / 255);
    }
    return pixels;
  }

  function change(part) {
    Object.assign(state, part);
    const { kind, at } = state, model = series[kind][at], elbo = model.rate + model.distortion;
    choice.set(kind);
    stage.put(walk.input, { max: series[kind].length - 1 });
    walk.set(at);
    const reach = (across[1] - across[0]) / 45;
    ring(model.rate, model.distortion, reach, (reach * (plane.sx(1) - plane.sx(0))) / (plane.sy(0) - plane.sy(1)));
    equal([[Math.max(0, elbo - upward[1]), Math.min(elbo, upward[1])], [Math.min(across[1], elbo - upward[0]), Math.max(upward[0], elbo - across[1])]]);
    rate.set(model.rate), distortion.set(model.distortion), negative_elbo.set(elbo);
    used.set(model.kl.filter((kl) => kl > in_use).length);
    bars(model);
    originals.draw(half(kind, 0, false)), rebuilt.draw(half(kind, at + 1, false)), drawn.draw(half(kind, at + 1, true));
    stage.say(`${model.words}: rate ${model.rate.toFixed(1)}, distortion ${model.distortion.toFixed(1)}, together ${elbo.toFixed(1)} nats; ${used.element.textContent} of ${model.kl.length} latents in use.`);
  }

  // the KL of each latent, the largest first
  function bars({ kl }) {
    const step = Math.min(40, 396 / kl.length), largest = Math.max(...all.map((model) => model.kl[0]));
    stage.put(chart, { "aria-label": `KL of each of the ${kl.length} latents, from ${kl[0].toFixed(2)} to ${kl.at(-1).toFixed(2)} nats` });
    chart.replaceChildren(stage.make("text", { x: 2, y: 80, class: "start" }, `KL of each latent, the largest ${kl[0].toFixed(2)} nats`));
    kl.forEach((value, j) => {
      const height = Math.max(0.7, (60 * value) / largest);
      stage.add(stage.make("rect", { x: 2 + j * step, y: 64 - height, width: Math.max(0.6, step - Math.min(2, step / 4)), height, class: value > in_use ? "paid" : "dead" }), chart);
    });
  }

  change({});
  return { get: () => structuredClone(state), set: change, still: () => change({ kind: "latents", at: 4 }) };
});
