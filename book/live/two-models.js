// Two worlds with the same images: in the second, each image's code has been mixed by the map of eq:entangling.
"use strict";

live.figure("two-models", [], function (stage) {
  const state = { prior: "uniform", turn: 0, image: [1, -0.5] };
  const COUNT = 400, WIDE = Math.sqrt(3); // a uniform law of variance one ends at the root of three
  const density = (y) => Math.exp(-y * y / 2) / Math.sqrt(2 * Math.PI);

  // the normal law's distribution function: its series about zero, and the continued fraction of the tail
  function below(y) {
    if (Math.abs(y) > 4) {
      let f = 0;
      for (let n = 60; n > 0; n--) f = n / (Math.abs(y) + f);
      const tail = density(y) / (Math.abs(y) + f);
      return y > 0 ? 1 - tail : tail;
    }
    let term = y, all = y;
    for (let n = 1; n < 90; n++) all += term *= (y * y) / (2 * n + 1);
    return 0.5 + density(y) * all;
  }

  // of one coordinate: from the normal law (the inverse of g), and its density
  const laws = {
    uniform: { from: (y) => WIDE * (2 * below(y) - 1), density: (z) => (Math.abs(z) < WIDE ? 1 / (2 * WIDE) : 0), ends: [-WIDE, WIDE] },
    normal: { from: (y) => y, density, ends: [-3.2, 3.2] },
    exponential: { from: (y) => -Math.log(below(-y)) - 1, density: (z) => (z > -1 ? Math.exp(-z - 1) : 0), ends: [-1, 3.2] },
  };

  // g by halving an interval; codes stay a little inside their law's ends
  function to_normal(z, { from }) {
    let [low, high] = [-8, 8];
    for (let i = 0; i < 60; i++) {
      const middle = (low + high) / 2;
      if (from(middle) < z) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }
  const turned = ([a, b], way) => {
    const angle = (way * state.turn * Math.PI) / 180;
    return [Math.cos(angle) * a - Math.sin(angle) * b, Math.sin(angle) * a + Math.cos(angle) * b];
  };

  const { normal } = vaelib.generator(4), drawn = Array.from({ length: COUNT }, () => [normal(), normal()]);
  const worlds = stage.group("equations wide");
  const [first, second] = ["The first world", "The second world"].map((name) => {
    const box = stage.add(stage.make("div"), worlds);
    stage.add(stage.make("p", { class: "live-row" }, ...stage.formula(`${name}: the images, coloured by z1 of this world`)), box);
    const plane = stage.plane(`${name}, the plane of images`, { extent: 3.2, names: ["x1", "x2"], parent: box });
    const layer = plane.points(drawn.map(() => ({ x: 0, y: 0, colour: "none" })));
    return { plane, dots: [...layer.children] };
  });
  const choose = (x, y) => change({ image: [x, y] });
  const handles = [first, second].map(({ plane }, i) => plane.handle(`An image, in the ${i ? "second" : "first"} world`, choose));

  const controls = stage.group("wide controls");
  const prior = stage.choice("Prior", { uniform: "uniform", normal: "normal", exponential: "exponential" }, controls, (to) => change({ prior: to }));
  const turn = stage.slider("Turn U", { min: 0, max: 90, value: 0, parent: controls, show: (v) => `${v}°` }, (v) => change({ turn: v }));
  const numbers = stage.group("numbers equations wide");
  const shown = {
    density: stage.number("density of the image, first world", numbers, "", { digits: 4 }),
    other_density: stage.number("density of the image, second world", numbers, "", { digits: 4 }),
    z1: stage.number("code in the first world, z1", numbers),
    other_z1: stage.number("code in the second world, z1", numbers),
    z2: stage.number("code in the first world, z2", numbers),
    other_z2: stage.number("code in the second world, z2", numbers),
    own: stage.number("rank correlation of z1 in both", numbers, "", { digits: 3, colour: "claim" }),
    cross: stage.number("of z1 in the second with z2 in the first", numbers, "", { digits: 3, colour: "recipe" }),
  };

  function change(part) {
    Object.assign(state, part);
    const law = laws[state.prior];
    state.image = state.image.map((v) => Math.min(law.ends[1] - 0.01, Math.max(law.ends[0] + 0.01, v)));
    prior.set(state.prior), turn.set(state.turn);

    // each world draws codes from the prior, colours them by z1, and shows their images
    drawn.forEach((y, n) => {
      const colour = `color-mix(in oklab, var(--claim) ${(100 * below(y[0])).toFixed(0)}%, var(--recipe))`;
      [[first, y], [second, turned(y, 1)]].forEach(([{ plane, dots }, at]) =>
        stage.put(dots[n], { cx: plane.sx(law.from(at[0])).toFixed(1), cy: plane.sy(law.from(at[1])).toFixed(1), style: `fill: ${colour}` }));
    });

    const y = state.image.map((v) => to_normal(v, law)), other = turned(y, -1), code = other.map(law.from);
    // the second world's density by a change of variables: through g, the rotation and back
    const slope = (z, at) => law.density(z) / density(at);
    const p = vaelib.sum(state.image.map((v) => Math.log(law.density(v))));
    const q = vaelib.sum(code.map((z, j) => Math.log(law.density(z)) - Math.log(slope(z, other[j])) + Math.log(slope(state.image[j], y[j]))));
    shown.density.set(Math.exp(p)), shown.other_density.set(Math.exp(q));
    shown.z1.set(state.image[0]), shown.z2.set(state.image[1]), shown.other_z1.set(code[0]), shown.other_z2.set(code[1]);
    // of two normal variables with correlation r: 6 / pi times the arcsine of r / 2; ranks do not know g
    const rank = (r) => (6 / Math.PI) * Math.asin(r / 2), [[c], [, s]] = [turned([1, 0], -1), turned([1, 0], 1)];
    shown.own.set(rank(c)), shown.cross.set(rank(s));
    handles.forEach((handle) => handle.set(...state.image));
    stage.say(`Turned by ${state.turn} degrees: the image has the density ${Math.exp(p).toFixed(3)} in both worlds; its first code is ${stage.fixed(state.image[0])} in one, ${stage.fixed(code[0])} in the other.`);
  }

  change({});
  return { get: () => ({ ...state }), set: change };
});
