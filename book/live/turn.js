// Two latents turned against the decoder's curvature: the best noise of any shape, the best independent noise, and
// what it costs that they differ.
"use strict";

live.figure("turn", [], function (stage) {
  // curvatures of the model that ships: book/results/answers.json
  const pairs = {
    "x and y": { curvature: 501, ratio: 1.11 },
    "x and y, y's range halved": { curvature: 501, ratio: 4.45 },
    "x and scale": { curvature: 501, ratio: 18.6 },
  };
  const state = { turn: 30, beta: 4, ...pairs["x and y, y's range halved"] };
  const LONG = 0.8; // in the plane, of the wider direction

  const buttons = stage.group("wide buttons");
  for (const [name, pair] of Object.entries(pairs)) stage.button(name, buttons, () => change({ ...pair, beta: 4 }));
  const left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("The code of one image: its best noise, and its best independent noise", { extent: 1, ticks: 9, names: ["z1", "z2"], parent: left });
  const independent = plane.ellipse("live-posterior"), any = plane.path("live-curve recipe");
  const handle = plane.handle("The end of the wide direction", (x, y) => change({ turn: Math.round(((Math.atan2(-x, y) * 180) / Math.PI + 180) % 180) }),
    () => `turned by ${state.turn} degrees`);
  stage.add(stage.make("p", { class: "live-row" }, "line: the best noise of any shape; filled: the best with an own width for each latent"), left);

  const costs = stage.curves("The price of the turn against its angle", "turn, degrees", "nats", right, 0);
  const bars = stage.bars(right), numbers = stage.group("numbers", right);
  const shown = {
    bound: stage.number("any noise, log det", numbers, "nats", { digits: 3, colour: "meaning" }),
    turn: stage.number("price of the turn", numbers, "nats", { digits: 3, colour: "recipe" }),
    cost: stage.number("independent noise, their sum", numbers, "nats", { digits: 3 }),
    first: stage.number("curvature along z1", numbers, "", { digits: 1 }),
    second: stage.number("curvature along z2", numbers, "", { digits: 1 }),
    narrow: stage.number("noise σ of z1", numbers, "", { digits: 3 }),
    wide: stage.number("noise σ of z2", numbers, "", { digits: 3 }),
  };

  const controls = stage.group("wide controls");
  const slider = (label, key, options) => stage.slider(label, { ...options, value: state[key], parent: controls }, (v) => change({ [key]: v }));
  const sliders = {
    turn: slider("Turn", "turn", { min: 0, max: 180, show: (v) => `${v}°` }),
    ratio: slider("Ratio of curvatures", "ratio", { min: 1, max: 20, step: 0.01, show: (v) => v.toFixed(2) }),
    curvature: slider("Larger curvature h", "curvature", { min: 10, max: 600, step: 1 }),
    beta: slider("Price β", "beta", { min: 0.5, max: 16, step: 0.5 }),
  };

  // the diagonal of the turned curvature over the price
  function along(turn) {
    const [c, s] = [Math.cos, Math.sin].map((f) => f((turn * Math.PI) / 180) ** 2);
    const k = state.curvature / state.beta;
    return [k * c + (k / state.ratio) * s, k * s + (k / state.ratio) * c];
  }

  // eq:turn-cost
  function price(turn) {
    const [a, b] = along(0), sine = Math.sin((turn * Math.PI) / 90);
    return (state.beta / 2) * Math.log1p(((a - b) * sine) ** 2 / (4 * (1 + a) * (1 + b)));
  }

  function change(part) {
    Object.assign(state, part);
    for (const [key, { set }] of Object.entries(sliders)) set(state[key]);
    const { turn, beta } = state, k = along(turn), widths = k.map((v) => 1 / Math.sqrt(1 + v));
    const cost = (beta / 2) * vaelib.sum(k.map(Math.log1p)), bound = (beta / 2) * vaelib.sum(along(0).map(Math.log1p)), more = price(turn);
    shown.bound.set(bound), shown.turn.set(more), shown.cost.set(cost);
    shown.first.set(beta * k[0]), shown.second.set(beta * k[1]), shown.narrow.set(widths[0]), shown.wide.set(widths[1]);
    bars.set([[[bound, "meaning"], [more, "recipe"]]]);

    const [narrow, wide] = along(0).map((v) => 1 / Math.sqrt(1 + v)), unit = LONG / wide, angle = (turn * Math.PI) / 180;
    const place = (a, b) => [Math.cos(angle) * a - Math.sin(angle) * b, Math.sin(angle) * a + Math.cos(angle) * b];
    any(Array.from({ length: 121 }, (_, i) => place(unit * narrow * Math.cos((i * Math.PI) / 60), LONG * Math.sin((i * Math.PI) / 60))));
    independent(0, 0, ...widths.map((w) => unit * w));
    handle.set(...place(0, LONG));
    costs.set([
      { name: "price", colour: "recipe", points: Array.from({ length: 91 }, (_, i) => [2 * i, price(2 * i)]) },
      { name: "", colour: "claim", dashed: true, points: [[turn, 0], [turn, more]] },
    ]);
    stage.say(`Turned by ${turn} degrees the noise costs ${stage.fixed(cost)} nats, of which ${stage.fixed(more, 3)} for the turn.`);
  }

  change({});
  return { get: () => ({ ...state }), set: change };
});
