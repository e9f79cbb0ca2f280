// The water level: which directions of the digits a linear model uses at a given noise, and their rates.
"use strict";

live.figure("water", ["digit-variances"], function (stage) {
  const variances = Array.from(new Float32Array(vaelib.bytesOf(window.VAELIB_DATA["digit-variances"].variances).buffer));
  const state = { level: -0.6 }; // log10 of sigma squared
  const [width, height, west, south, least, most, bars] = [640, 250, 44, 30, -3, 1, 120];

  const body = stage.group("wide");
  const svg = stage.add(stage.make("svg", { viewBox: `0 0 ${width} ${height}`, class: "live-water", role: "img" }), body);
  const slider = stage.slider("water level σ²", { min: least, max: most, step: 0.02, value: state.level, parent: body, show: (v) => (10 ** v).toPrecision(2) }, (level) => change({ level }));
  const numbers = stage.group("wide numbers");
  const sigma = stage.number("noise σ", numbers, "", { digits: 3 });
  const used = stage.number("latents used, λ above σ²", numbers, "", { digits: 0 });
  const rate = stage.number("rate, the sum of ½ log(λ / σ²)", numbers, "nats", { colour: "recipe" });
  const error = stage.number("squared error left in an image", numbers);

  const sy = (log) => 8 + ((most - log) / (most - least)) * (height - south - 8);
  const step = (width - west - 8) / bars;
  const add = (tag, attributes, ...text) => stage.add(stage.make(tag, attributes, ...text), svg);

  function change(part) {
    Object.assign(state, part);
    const { level } = state, water = 10 ** level;
    slider.set(level);
    const above = variances.filter((v) => v > water);
    sigma.set(Math.sqrt(water)), used.set(above.length);
    rate.set(vaelib.sum(above.map((v) => 0.5 * Math.log(v / water))));
    error.set(vaelib.sum(variances.map((v) => Math.min(v, water))));

    svg.replaceChildren();
    for (let t = least; t <= most; t++) {
      add("line", { x1: west, x2: width - 8, y1: sy(t), y2: sy(t), class: "rule" });
      add("text", { x: west - 6, y: sy(t) + 4, "text-anchor": "end" }, String(10 ** t));
    }
    variances.slice(0, bars).forEach((v, j) => {
      const top = Math.max(least, Math.log10(v)), x = west + j * step + 0.5, wide = step - 1;
      const wet = Math.min(top, level);
      if (wet > least) add("rect", { x, y: sy(wet), width: wide, height: sy(least) - sy(wet), class: "wet" });
      if (top > level) add("rect", { x, y: sy(top), width: wide, height: sy(level) - sy(top), class: "dry" });
    });
    add("rect", { x: west, y: sy(level), width: width - west - 8, height: sy(least) - sy(level), class: "water" });
    add("line", { x1: west, x2: width - 8, y1: sy(level), y2: sy(level), class: "surface" });
    add("text", { x: (west + width) / 2, y: height - 8, "text-anchor": "middle" }, `the ${bars} directions of largest variance λ, of ${variances.length}`);
    const words = `Water at ${water.toPrecision(2)}: ${above.length} directions stand out of it, together ${rate.element.textContent} nats; squared error ${error.element.textContent}.`;
    stage.put(svg, { "aria-label": words });
    stage.say(words);
  }

  change({});
  return { get: () => ({ ...state }), set: change };
});
