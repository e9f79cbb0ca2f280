// Convolution arithmetic: a kernel slides over a padded line, and its transpose writes the line back.
"use strict";

live.figure("convolution", [], function (stage) {
  const state = { h: 6, k: 3, s: 2, p: 1, position: 0, playing: !stage.still.matches };
  const unit = 26;

  const controls = stage.group("wide controls");
  const ranges = { h: ["Pixels h", 1, 16], k: ["Kernel k", 1, 7], s: ["Stride s", 1, 5], p: ["Padding p", 0, 4] };
  const sliders = {};
  for (const [name, [label, min, max]] of Object.entries(ranges))
    sliders[name] = stage.slider(label, { min, max, value: state[name], parent: controls }, (v) => change({ [name]: v, position: 0 }));

  const [down, downWords] = row(), [up, upWords] = row();
  const buttons = stage.group("wide buttons");
  const play = stage.button("Pause", buttons, () => (change({ playing: !state.playing }), run()));
  stage.button("One step", buttons, () => change({ playing: false, position: next() }));

  const numbers = stage.group("wide numbers equations");
  const out = stage.number("outputs ⌊(h + 2p − k) / s⌋ + 1 =", numbers, "", { digits: 0 });
  const a = stage.number("output padding a = (h + 2p − k) mod s =", numbers, "", { digits: 0 });
  const without = stage.number("mirror without a: (outputs − 1) s − 2p + k =", numbers, "pixels", { digits: 0 });
  const back = stage.number("mirror with a =", numbers, "pixels", { digits: 0 });
  const lost = stage.number("pixels never read =", numbers, "", { digits: 0 });
  const refusal = stage.add(stage.make("p", { class: "live-refusal" }), numbers);

  const some = (n, what) => `${n} ${what}${n === 1 ? "" : "s"}`;
  const next = () => (state.position + 1) % Math.max(1, vaelib.convSize(state.h, state.k, state.s, state.p));

  function change(part) {
    Object.assign(state, part);
    const { h, k, s, p } = state, line = h + 2 * p, fits = k <= line;
    for (const name of Object.keys(ranges)) sliders[name].set(state[name]);
    play.textContent = state.playing ? "Pause" : "Play";

    const outputs = fits ? vaelib.convSize(h, k, s, p) : 0, padding = fits ? vaelib.outputPadding(h, k, s, p) : 0;
    state.position = Math.min(state.position, Math.max(0, outputs - 1));
    const read = Array.from({ length: line }, (_, cell) => {
      const t = Math.min(Math.floor(cell / s), outputs - 1); // the last position that starts at or before the cell
      return fits && cell < t * s + k;
    });
    const never = read.filter((seen, cell) => !seen && cell >= p && cell < p + h).length;
    out.set(outputs);
    a.set(padding);
    without.set((outputs - 1) * s - 2 * p + k);
    back.set((outputs - 1) * s - 2 * p + k + padding);
    lost.set(never);
    for (const shown of [out, a, without, back, lost]) shown.element.parentElement.hidden = !fits;
    refusal.textContent = fits ? "" : `The kernel does not fit: k = ${k} is more than h + 2p = ${line}.`;
    draw(line, outputs, padding, read);
    const around = p ? `, padded with ${some(p, "cell")} at each end` : "";
    downWords.textContent = `Convolution: ${some(h, "pixel")}${around}, to ${some(outputs, "output")}; never read: ${some(never, "pixel")}`;
    upWords.textContent = fits ? `Its mirror: ${some(outputs, "input")}${padding ? `, ${some(padding, "cell")} more at the end (a)` : ""}` +
      `${p ? `, ${some(p, "cell")} cut off each end` : ""}, back to ${some(h, "pixel")}` : "";
    const words = fits ? `${downWords.textContent}. ${upWords.textContent}.` : refusal.textContent;
    stage.put(down, { "aria-label": downWords.textContent });
    stage.put(up, { "aria-label": upWords.textContent || "no mirror" });
    stage.say(words);
  }

  // a line of words and, below it, a line of cells
  function row() {
    const box = stage.group("wide"), words = stage.add(stage.make("p", { class: "live-row" }), box);
    return [stage.add(stage.make("svg", { class: "live-line", role: "img" }), box), words];
  }

  function draw(line, outputs, padding, read) {
    const { h, k, s, p, position } = state, wide = Math.max(line * unit + 4, Math.min(660, down.clientWidth));
    const left = (wide - line * unit) / 2, at = (cell) => left + cell * unit, middle = (t) => at(t * s) + (k * unit) / 2;
    const put = (svg, tag, attributes, ...text) => stage.add(stage.make(tag, attributes, ...text), svg);
    const under = (cell) => outputs && cell >= position * s && cell < position * s + k;

    const cells = (svg, y, kind, text) => {
      for (let i = 0; i < line; i++) {
        const where = i < p || i >= p + h ? "padding" : "pixel";
        put(svg, "rect", { x: at(i) + 1, y, width: unit - 2, height: unit - 2, rx: 3, class: `${where} ${under(i) ? "now" : ""} ${kind(i)}` });
        put(svg, "text", { x: at(i) + unit / 2, y: y + 17 }, text(i, where));
      }
    };
    const results = (svg, y, from, to) => {
      const [a, b] = [at(position * s), at(position * s + k)], m = middle(position);
      put(svg, "path", { class: "fan", d: `M${a} ${from} L${b} ${from} L${m + 10} ${to} L${m - 10} ${to} Z` });
      for (let t = 0; t < outputs; t++) {
        put(svg, "circle", { cx: middle(t), cy: y, r: 10, class: t === position ? "result now" : "result" });
        put(svg, "text", { x: middle(t), y: y + 4 }, t);
      }
    };

    for (const svg of [down, up]) svg.replaceChildren(), stage.put(svg, { viewBox: `0 0 ${wide} 78` });
    if (outputs) results(down, 64, 26, 54);
    cells(down, 1, (i) => (read[i] ? "" : "never"), (i, where) => (where === "padding" ? "0" : ""));
    if (outputs) {
      results(up, 14, 50, 24);
      cells(up, 51, (i) => (i >= line - padding ? "given" : ""), (i) => (i >= line - padding ? "a" : ""));
    }
  }

  let resting = 0, running = false;
  function run() {
    if (running) return;
    running = true;
    stage.animate((elapsed) => {
      if (!state.playing) return (running = false);
      resting += elapsed;
      if (resting > 900) (resting = 0), change({ position: next() });
      return true;
    });
  }

  new ResizeObserver(() => change({})).observe(down);
  run();
  return { get: () => ({ ...state }), set: (to) => (change(to), run()) };
});
