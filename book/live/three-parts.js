// The rate in three parts, for a few round clouds in the plane, by quadrature: turning moves nothing but the cut
// between total correlation and dimension-wise KL.
"use strict";

live.figure("three-parts", [], function (stage) {
  const layouts = {
    Square: [[1, 1], [-1, 1], [-1, -1], [1, -1]],
    Diagonal: [[1.5, 1.5], [0.5, 0.5], [-0.5, -0.5], [-1.5, -1.5]],
    Grid: [-1, 0, 1].flatMap((x) => [-1, 0, 1].map((y) => [1.2 * x, 1.2 * y])),
    Irregular: [[0.4, -1.6], [1.3, -0.2], [-1.2, 0.1], [-0.4, 0.9], [1, 1.5]],
  };
  const state = { codes: layouts.Square, turn: 0, sigma: 0.2, spread: 1 };
  const SIDE = 56, EXTENT = 3, LOG_2PI = Math.log(2 * Math.PI);

  const buttons = stage.group("wide buttons");
  for (const [name, codes] of Object.entries(layouts)) stage.button(name, buttons, () => change({ codes, turn: 0, spread: 1 }));
  const left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("The codes of a few images as clouds, with their marginals along the axes",
    { extent: EXTENT, names: ["z1", "z2"], parent: left });
  const marginals = [0, 1].map(() => stage.add(stage.make("path", { class: "live-marginal", "aria-hidden": "true" }), plane.svg));
  const clouds = Array.from({ length: 9 }, () => [2, 1].map(() => plane.ellipse("live-posterior")));
  const handle = plane.handle("The first code", (x, y) => change({ codes: [turned([x, y], -1), ...state.codes.slice(1)] }));

  const pictures = stage.group("images", right);
  const joint = stage.image("joint, q(z)", SIDE, SIDE, pictures), product = stage.image("product of its marginals", SIDE, SIDE, pictures);
  const bars = stage.bars(right), numbers = stage.group("numbers", right);
  const information = stage.number("information, I(n; z)", numbers, "nats", { digits: 3, colour: "claim" });
  const correlation = stage.number("total correlation", numbers, "nats", { digits: 3, colour: "recipe" });
  const dimension_wise = stage.number("dimension-wise KL", numbers, "nats", { digits: 3, colour: "meaning" });
  const rate = stage.number("rate, the mean KL of the clouds", numbers, "nats", { digits: 3 });

  const controls = stage.group("wide controls");
  const turn = stage.slider("Turn", { min: 0, max: 90, value: 0, parent: controls, show: (v) => `${v}°` }, (v) => change({ turn: v }));
  const width = stage.slider("Width σ", { min: 0.2, max: 1, step: 0.05, value: 0.2, parent: controls, show: (v) => v.toFixed(2) }, (v) => change({ sigma: v }));
  const spread = stage.slider("Spread", { min: 0, max: 1.5, step: 0.05, value: 1, parent: controls, show: (v) => v.toFixed(2) }, (v) => change({ spread: v }));

  // where a code stands, turned and spread; way -1 goes back
  function turned([x, y], way = 1) {
    const angle = (way * state.turn * Math.PI) / 180, scale = way > 0 ? state.spread : 1 / Math.max(0.05, state.spread);
    return [scale * (Math.cos(angle) * x - Math.sin(angle) * y), scale * (Math.sin(angle) * x + Math.cos(angle) * y)];
  }

  // each cloud's density along one axis at these places, and their mixture
  function along(places, means, sigma) {
    const each = means.map((m) => places.map((z) => Math.exp(vaelib.normal_log_density([z], [m], [2 * Math.log(sigma)]))));
    return { each, mixed: places.map((_, i) => vaelib.sum(each.map((d) => d[i])) / means.length) };
  }

  function mixture(places, means, sigma) {
    const [a, b] = [0, 1].map((j) => along(places, means.map((m) => m[j]), sigma));
    return { a, b, at: (i, j) => {
      let q = 0;
      for (let n = 0; n < means.length; n++) q += a.each[n][i] * b.each[n][j];
      return q / means.length;
    } };
  }

  // eq:kl-decomposition by the trapezoidal rule, as exact as the numbers for smooth densities
  function parts(means, sigma) {
    const reach = Math.max(...means.flat().map(Math.abs)) + 7 * sigma, step = sigma / 4, half = Math.ceil(reach / step);
    const places = Array.from({ length: 2 * half + 1 }, (_, i) => (i - half) * step), q = mixture(places, means, sigma);
    const surprise = (p) => (p > 1e-300 ? -p * Math.log(p) : 0), [h1, h2] = [q.a, q.b].map(({ mixed }) => step * vaelib.sum(mixed.map(surprise)));
    let h = 0;
    for (let i = 0; i < places.length; i++) for (let j = 0; j < places.length; j++) h += surprise(q.at(i, j));
    h *= step * step;
    const square = vaelib.sum(means.flat().map((m) => m * m)) / means.length + 2 * sigma ** 2;
    return { information: h - (1 + LOG_2PI + 2 * Math.log(sigma)), correlation: h1 + h2 - h, dimension_wise: square / 2 + LOG_2PI - h1 - h2 };
  }

  function change(part) {
    Object.assign(state, part);
    turn.set(state.turn), width.set(state.sigma), spread.set(state.spread);
    const means = state.codes.map((code) => turned(code)), { sigma } = state;
    const found = parts(means, sigma), log_var = [2 * Math.log(sigma), 2 * Math.log(sigma)];
    const all = vaelib.sum(means.map((m) => vaelib.sum(vaelib.kl_per_dimension(m, log_var)))) / means.length;
    information.set(found.information), correlation.set(found.correlation), dimension_wise.set(found.dimension_wise), rate.set(all);
    const scale = Math.max(4, all);
    bars.set([[[found.information, "claim"], [found.correlation, "recipe"], [found.dimension_wise, "meaning"], [scale - all, "rule"]]]);

    handle.set(...means[0]);
    clouds.forEach((ellipses, n) => ellipses.forEach((ellipse, i) => ellipse(...(means[n] ?? [0, 0]), ...(n < means.length ? [(2 - i) * sigma, (2 - i) * sigma] : [0, 0]))));
    draw(means, sigma);
    stage.say(`Rate ${all.toFixed(2)} nats: information ${found.information.toFixed(2)}, total correlation ${found.correlation.toFixed(2)}, ` +
      `dimension-wise KL ${found.dimension_wise.toFixed(2)}.`);
  }

  // both densities on one scale of grey, and the marginals as hills along the plane's edges
  function draw(means, sigma) {
    const places = Array.from({ length: SIDE }, (_, i) => ((2 * i + 1) / SIDE - 1) * EXTENT), q = mixture(places, means, sigma);
    const pixels = (density) => Array.from({ length: SIDE * SIDE }, (_, p) => density(p % SIDE, SIDE - 1 - Math.floor(p / SIDE)));
    const both = [pixels(q.at), pixels((i, j) => q.a.mixed[i] * q.b.mixed[j])], most = Math.max(...both[0]);
    [joint, product].forEach((image, k) => image.draw(both[k].map((p) => Math.min(1, p / most))));
    const fine = Array.from({ length: 241 }, (_, i) => (i / 120 - 1) * EXTENT);
    const line = (j, place) => {
      const { mixed } = along(fine, means.map((m) => m[j]), sigma), top = Math.max(...mixed);
      return mixed.map((p, i) => `${i ? "L" : "M"}${place(fine[i], -EXTENT + (0.7 * p) / top)}`).join("");
    };
    stage.put(marginals[0], { d: line(0, (z, up) => `${plane.sx(z).toFixed(1)} ${plane.sy(up).toFixed(1)}`) });
    stage.put(marginals[1], { d: line(1, (z, up) => `${plane.sx(up).toFixed(1)} ${plane.sy(z).toFixed(1)}`) });
  }

  change({});
  return { get: () => structuredClone(state), set: change };
});
