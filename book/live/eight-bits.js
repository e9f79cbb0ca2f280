// Eight bits: a density over 256 grey levels, and four answers to what one level costs under it.
"use strict";

live.figure("eight-bits", [], function (stage) {
  const state = { family: "normal", location: 0, sigma: 19, level: 0 };
  const [least, most] = [-80, 335], log2 = (nats) => nats / Math.LN2;
  const presets = {
    "A black border": { level: 0, location: 0, sigma: 19 },
    "Blacker than black": { family: "logistic", level: 0, location: -60, sigma: 8 },
    "A certain decoder": { level: 100, location: 100, sigma: 0.21 },
    "One that is wrong": { level: 100, location: 112, sigma: 3.4 },
  };

  // log-density and log of the distribution function, at t standard units from the location
  const families = {
    normal: { log_density: (t) => -0.5 * (t * t + Math.log(2 * Math.PI)), log_below: normal_log_below },
    logistic: { log_density: (t) => -t - 2 * vaelib.softplus(-t), log_below: (t) => -vaelib.softplus(-t) },
  };

  function normal_log_below(t) {
    if (t > 0) return Math.log1p(-Math.exp(normal_log_below(-t)));
    if (t < -8) return families.normal.log_density(t) - Math.log(-t) + Math.log1p(-1 / t ** 2 + 3 / t ** 4 - 15 / t ** 6);
    let mass = 0; // the midpoint rule, in units of the density at t
    for (let s = 0.005; s < 10; s += 0.01) mass += 0.01 * Math.exp(-s * s / 2 + t * s);
    return families.normal.log_density(t) + Math.log(mass);
  }

  const buttons = stage.group("wide buttons"), left = stage.group("left"), right = stage.group("right");
  const [whole, wholeWords] = panel(), [near, nearWords] = panel();
  for (const [words, to] of Object.entries(presets)) stage.button(words, buttons, () => change({ family: "normal", ...to }));
  const family = stage.choice("Density", { normal: "normal", logistic: "logistic" }, right, (to) => change({ family: to }));
  const sliders = {
    level: stage.slider("Level y", { min: 0, max: 255, value: 0, parent: right }, (to) => change({ level: to })),
    location: stage.slider("Prediction ŷ", { min: least, max: most, value: 0, parent: right }, (to) => change({ location: to })),
    sigma: stage.slider("σ, in levels", { min: -9, max: 26, value: 17, parent: right, show: (e) => (2 ** (e / 4)).toPrecision(2) },
      (e) => change({ sigma: 2 ** (e / 4) })),
  };
  const bars = stage.bars(right), numbers = stage.group("wide numbers equations");
  const folded = stage.number("folded: the tails count too", numbers, "bits", { colour: "meaning" });
  const cube = stage.number("cube: the mass of the level, −log₂ P(y)", numbers, "bits", { colour: "claim" });
  const dequantised = stage.number("dequantised, −E log₂ p(y + u)", numbers, "bits", { colour: "recipe" });
  const naive = stage.number("no noise, −log₂ p(y): no code length", numbers, "bits");
  const below = stage.number("mass below level 0", numbers, "", { digits: 3 });
  const above = stage.number("mass above level 255", numbers, "", { digits: 3 });

  function panel() {
    const words = stage.add(stage.make("p", { class: "live-row" }), left);
    const svg = stage.make("svg", { viewBox: "0 0 400 170", role: "img", class: "live-curves live-levels" });
    return [stage.add(svg, left), words];
  }

  // the mass of a level is the mean of the density over it, and the dequantised cost that of its logarithm
  function costs() {
    const { location, sigma, level } = state, { log_density, log_below } = families[state.family];
    const log_p = (v) => log_density((v - location) / sigma) - Math.log(sigma), nodes = 1000;
    const logs = Array.from({ length: nodes }, (_, i) => log_p(level - 0.5 + (i + 0.5) / nodes));
    const log_mass = vaelib.logsumexp(logs) - Math.log(nodes);
    const upTo = (v) => log_below((v - location) / sigma), beyond = (v) => log_below((location - v) / sigma);
    const log_folded = level === 0 ? upTo(0.5) : level === 255 ? beyond(254.5) : log_mass;
    return {
      folded: -log2(log_folded), cube: -log2(log_mass), dequantised: -log2(vaelib.sum(logs) / nodes), naive: -log2(log_p(level)),
      below: Math.exp(upTo(-0.5)), above: Math.exp(beyond(255.5)),
    };
  }

  function change(part) {
    Object.assign(state, part);
    family.set(state.family), sliders.level.set(state.level), sliders.location.set(state.location);
    sliders.sigma.set(Math.round(4 * Math.log2(state.sigma)));
    const found = costs();
    folded.set(found.folded), cube.set(found.cube), dequantised.set(found.dequantised), naive.set(found.naive);
    below.set(found.below), above.set(found.above);
    bars.set([[[found.folded, "meaning"]], [[found.cube, "claim"]], [[found.dequantised, "recipe"]]]);
    const { level } = state;
    draw(whole, least, most, [0, 64, 128, 192, 255], [[least, -0.5, "folded"], [255.5, most, "folded"], [level - 0.5, level + 0.5, "cube"]]);
    draw(near, level - 4.5, level + 4.5, [-4, -3, -2, -1, 0, 1, 2, 3, 4].map((i) => level + i).filter((v) => v >= 0 && v <= 255),
      [[Math.min(level - 4.5, -0.5), -0.5, "folded"], [255.5, Math.max(level + 4.5, 255.5), "folded"], [level - 0.5, level + 0.5, "cube"]]);
    wholeWords.textContent = "The density over all 256 levels; beyond them, what folding gives to the outermost two";
    nearWords.textContent = `Level ${level} and its neighbours, enlarged`;
    stage.put(whole, { "aria-label": `A ${state.family} density at ${state.location.toFixed(0)}, σ ${state.sigma.toPrecision(2)}, over the levels` });
    stage.put(near, { "aria-label": `The same density near level ${level}, whose mass is shaded` });
    stage.say(`Level ${level}: folded ${found.folded.toFixed(2)} bits, cube ${found.cube.toFixed(2)}, ` +
      `dequantised ${found.dequantised.toFixed(2)}, without noise ${found.naive.toFixed(2)}.`);
  }

  // the density between two levels on an axis of its own, parts of it shaded
  function draw(svg, from, to, marks, shaded) {
    const { location, sigma } = state, { log_density } = families[state.family], [west, east, south, high] = [8, 392, 145, 130];
    const sx = (v) => west + ((v - from) / (to - from)) * (east - west);
    const at = (a, b) => Array.from({ length: 241 }, (_, i) => a + ((b - a) * i) / 240).concat(location > a && location < b ? [location] : []).sort((v, w) => v - w);
    const p = (v) => Math.exp(log_density((v - location) / sigma));
    const tall = Math.max(1e-300, ...at(from, to).map(p)), sy = (v) => south - (p(v) / tall) * high;
    const line = (a, b) => at(a, b).map((v) => `${sx(v).toFixed(1)},${sy(v).toFixed(1)}`).join(" ");
    const axes = stage.make("g", { class: "live-axes" });
    stage.add(stage.make("line", { x1: west, x2: east, y1: south, y2: south, class: "zero" }), axes);
    for (const edge of [-0.5, 255.5].filter((v) => v > from && v < to)) stage.add(stage.make("line", { x1: sx(edge), x2: sx(edge), y1: 8, y2: south, class: "zero" }), axes);
    for (const v of marks) stage.add(stage.make("text", { x: sx(v), y: south + 16, "text-anchor": "middle" }, String(v)), axes);
    svg.replaceChildren(axes);
    for (const [a, b, kind] of shaded) {
      if (b <= a) continue;
      const wide = Math.max(sx(b) - sx(a), kind === "cube" ? 2.5 : 0) - (sx(b) - sx(a)); // a level of 256 is thinner than a line
      const path = `M${sx(a) - wide / 2},${south} L${line(a, b).replaceAll(" ", " L")} L${sx(b) + wide / 2},${south} Z`;
      stage.add(stage.make("path", { d: path, class: kind }), svg);
      if (wide) stage.add(stage.make("line", { x1: sx((a + b) / 2), x2: sx((a + b) / 2), y1: south, y2: south + 6, class: "cube" }), svg);
    }
    stage.add(stage.make("polyline", { points: line(from, to), style: "stroke: var(--ink)" }), svg);
  }

  // a pointer on the upper axis takes the decoder's prediction along
  const drag = (event) => {
    const box = whole.getBoundingClientRect(), x = ((event.clientX - box.left) / box.width) * 400;
    change({ location: Math.round(Math.min(most, Math.max(least, least + ((x - 8) / 384) * (most - least)))) });
  };
  whole.addEventListener("pointerdown", (event) => (whole.setPointerCapture(event.pointerId), drag(event)));
  whole.addEventListener("pointermove", (event) => event.buttons && drag(event));

  change({});
  return { get: () => ({ ...state }), set: change };
});
