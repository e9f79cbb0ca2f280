// The playground: a VAE trains in a worker while the reader turns what can be turned, or looks for its bug.
"use strict";

live.figure("playground", ["trainer", "clinic", "digits-14"], function (stage) {
  const { test_labels, bits, test_bits, colours } = window.VAELIB_DATA["digits-14"];
  const side = 14, pixels = side * side;
  const ink = colours.map(live.ink), images = vaelib.bitsOf(bits), test = vaelib.bitsOf(test_bits);
  const { bugs, checks } = live.trainer(vaelib), { lines, sick: clinic, words } = live.clinic;

  const start = { beta: 1, learning_rate: 0.003, latent_dim: 2, hidden: 128, seed: 0, bug: "none", secret: false, audit: false };
  const presets = {
    "playground-plain": {},
    "playground-bug": { bug: "hidden" },
    "playground-beta": { latent_dim: 8, beta: 0.5 },
  };
  const state = { ...start, running: false, z: [0.5, -0.5], until: null };
  let worker, run = 0, last = null, trail = [], plane, dots, numerals, handle, extent = 0, decoding = false, at_rest = () => {};

  // ---- the page: controls, the plane, pictures, curves, the program ----

  const top = stage.group("wide controls-row");
  const play = stage.button("Train", top, () => go(!state.running));
  stage.button("One step", top, () => (go(false), worker.postMessage({ step: true })));
  stage.button("Start again", top, () => change({ examined: false }, true));
  const clock = stage.add(stage.make("p", { class: "live-clock" }), top);

  const left = stage.group("left"), right = stage.group("right");
  const planeBox = stage.group("plane-box", left);
  const note = stage.add(stage.make("p", { class: "live-row" }), left);
  const curves = stage.curves("Nats an image on 500 test digits, by training steps", "steps", "nats", left);

  const pictures = stage.group("images", right);
  const drawn = stage.image("decoded from the point", side, side, pictures);
  const samples = stage.image("samples: codes from the prior", 4 * side, 4 * side, pictures);
  const mapBox = stage.group("map", right);
  const map = stage.image("the plane, decoded", 9 * side, 9 * side, mapBox);

  const numbers = stage.group("numbers", right);
  const distortion = stage.number("distortion", numbers, "nats", { colour: "claim" });
  const rate = stage.number("rate", numbers, "nats", { colour: "recipe" });
  const negative_elbo = stage.number("−ELBO, reported", numbers, "nats", { colour: "meaning" });
  const truth = stage.number("−ELBO, by the healthy program", numbers, "nats");
  const spent = stage.group("ledger", right), of_each = stage.add(stage.make("p", { class: "live-row" }), spent), kl_bars = stage.bars(spent);

  const turned = stage.group("wide controls");
  const beta = stage.slider("beta", { min: 0, max: 8, step: 0.25, value: 1, parent: turned }, (v) => change({ beta: v }));
  const learning_rate = stage.slider("learning rate", { min: -4, max: -1.5, step: 0.25, value: -2.5, parent: turned,
    show: (v) => (10 ** v).toPrecision(1) }, (v) => change({ learning_rate: 10 ** v }));
  const latents = stage.slider("latents", { min: 0, max: 4, value: 1, parent: turned, show: (v) => 2 ** v }, (v) => change({ latent_dim: 2 ** v }, true));
  const hidden = stage.slider("hidden units", { min: 4, max: 8, value: 7, parent: turned, show: (v) => 2 ** v }, (v) => change({ hidden: 2 ** v }, true));
  const seed = stage.slider("seed", { min: 0, max: 20, value: 0, parent: turned }, (v) => change({ seed: v }, true));

  const ward = stage.group("wide ward");
  const names = Object.fromEntries(bugs.filter((bug) => bug !== "none").map((bug) => [bug, clinic[bug].name]));
  const menu = stage.menu("Bug", { none: "none: the healthy program", hidden: "one that you have to find", ...names }, ward, (bug) => change({ bug }, true));
  const listing = stage.add(stage.make("ol", { class: "live-program", "aria-label": "The program, line by line" }), ward);
  const press = {};
  for (const [name, code] of Object.entries(lines)) {
    press[name] = stage.make("button", { type: "button" }, code);
    press[name].addEventListener("click", () => accuse(name));
    listing.append(stage.make("li", {}, press[name]));
  }
  const helpers = stage.group("buttons", ward);
  const hint = stage.button("A hint", helpers, () => tell(clinic[state.bug].hint));
  stage.button("Run the five checks", helpers, () => change({ examined: true }));
  const audit = stage.button("Second opinion", helpers, () => (change({ audit: !state.audit }), state.audit && last && opinion()));
  const another = stage.button("Another bug", helpers, () => change({ bug: "hidden" }, true));
  const verdict = stage.add(stage.make("p", { class: "live-verdict", role: "status" }), ward);
  const table = stage.add(stage.make("ul", { class: "live-checks" }), ward);

  const tell = (text) => (verdict.textContent = text);

  // ---- what the reader does ----

  // a change of the network, the seed or the program begins anew; anything else is for the next step
  function change(part, anew = false) {
    if (part.bug !== undefined) {
      const secret = part.bug === "hidden", others = bugs.filter((bug) => bug !== "none" && bug !== state.bug);
      part = { ...part, secret, audit: false, examined: false, ...(secret && { bug: others[Math.floor(Math.random() * others.length)] }) };
    }
    Object.assign(state, part);
    beta.set(state.beta), learning_rate.set(Math.log10(state.learning_rate)), seed.set(state.seed);
    latents.set(Math.log2(state.latent_dim)), hidden.set(Math.log2(state.hidden)), menu.set(state.secret ? "hidden" : state.bug);
    const { latent_dim, hidden: units } = state;
    const options = { beta: state.beta, learning_rate: state.learning_rate, bug: state.bug, until: state.until };
    if (anew) {
      [run, trail, last] = [run + 1, [], null];
      worker.postMessage({ setup: { run, images, test, pixels, hidden: units, latent_dim, seed: state.seed }, options, running: state.running, tell: true });
    } else worker.postMessage({ options });
    program();
  }

  function go(running) {
    state.running = running;
    play.textContent = running ? "Pause" : "Train";
    worker.postMessage({ running: running && seen });
  }

  function accuse(line) {
    if (!state.secret && state.bug === "none") return tell("This program is healthy. Choose a bug, or let one be hidden.");
    if (!state.secret) return;
    const sick = clinic[state.bug], right = sick.line === line;
    if (right) state.secret = false, menu.set(state.bug);
    program();
    tell(right ? `Yes: ${sick.name}. ${sick.symptom} The check that catches it: "${words[sick.check].toLowerCase()}".`
      : "Not this line: it is as it should be. Run the checks, or ask for a hint.");
  }

  function opinion() {
    const apart = last.elbo - last.true_elbo;
    tell(Math.abs(apart) < 0.01 ? "The healthy program scores these weights as the report does: the report is true. It does not say that the model is good."
      : `The healthy program scores these weights ${round(Math.abs(apart))} nats ${apart > 0 ? "worse" : "better"} than the report says: the report is not their ELBO.`);
  }

  // the listing shows a planted bug in its line, unless it is to be found
  function program() {
    const sick = state.bug === "none" || state.secret ? null : clinic[state.bug];
    for (const [name, code] of Object.entries(lines)) {
      press[name].textContent = sick?.line === name ? sick.code : code;
      press[name].classList.toggle("sick", sick?.line === name);
    }
    hint.disabled = another.disabled = state.bug === "none";
    audit.setAttribute("aria-pressed", state.audit);
    tell(sick ? sick.symptom : state.secret ? "One of these lines is not what it seems. Train, look, and press the line that you suspect." : "");
    const results = state.examined ? checks(state.bug) : [];
    table.replaceChildren(...results.map(({ name, result, wanted, passed }) => {
      const should = wanted === null ? "more than 0" : String(wanted);
      return stage.make("li", { class: passed ? "passed" : "failed" }, `${passed ? "passes" : "fails"}: ${words[name]}: ${round(result)}, should be ${should}.`);
    }));
    truth.element.parentElement.style.visibility = state.audit ? "" : "hidden"; // its room is kept: nothing moves under the finger
    if (last) show();
  }

  const round = (v) => String(Number(v.toFixed(2))).replace("-", "−");

  // ---- what the worker says ----

  function heard({ data }) {
    if (data.run !== run) return;
    if (data.kind === "ended") return ended(data.left);
    if (data.kind !== "score") return (decoding = false), picture(data);
    last = data;
    const { steps, distortion, rate, elbo, true_elbo } = data; // without the codes: a training may be long
    if (trail.at(-1)?.steps !== steps) trail.push({ steps, distortion, rate, elbo, true_elbo });
    show();
    ask("samples", sample_codes(16));
    mapBox.hidden = state.latent_dim === 1;
    if (state.latent_dim > 1) ask("map", map_codes());
    ask("drawn", code());
  }

  function ended(left) {
    go(false);
    at_rest();
    if (left) tell("The rate has passed a million nats: the weights have left, and the training stops.");
  }

  const ask = (kind, z) => worker.postMessage({ decode: { kind, z } });

  // two latents are shown: of more, those whose KL is greatest
  const axes = () => {
    const order = last.kl.map((_, j) => j).sort((a, b) => last.kl[b] - last.kl[a]);
    return state.latent_dim < 2 ? [0, 0] : state.latent_dim === 2 ? [0, 1] : order.slice(0, 2);
  };
  const at = (x, y) => {
    const z = new Float64Array(state.latent_dim), [i, j] = axes();
    z[j] = y, z[i] = x;
    return z;
  };
  const code = () => at(...state.z);
  const map_codes = () => Float64Array.from(Array.from({ length: 81 }, (_, k) => [...at(((k % 9) - 4) * 0.6, (4 - Math.floor(k / 9)) * 0.6)]).flat());
  const sample_codes = (n) => Float64Array.from({ length: n * state.latent_dim }, vaelib.generator(state.seed + 5).normal);

  function picture({ kind, pixels: values }) {
    if (kind === "drawn") return drawn.draw(values);
    const across = kind === "map" ? 9 : 4, out = new Float32Array(values.length);
    values.forEach((v, i) => {
      const tile = Math.floor(i / pixels), y = Math.floor((i % pixels) / side), x = i % side;
      out[(Math.floor(tile / across) * side + y) * across * side + (tile % across) * side + x] = v;
    });
    (kind === "map" ? map : samples).draw(out);
  }

  function show() {
    const [i, j] = axes();
    const points = Array.from({ length: test_labels.length }, (_, k) => {
      const code = (l) => last.mean[k * state.latent_dim + l];
      return [code(i), state.latent_dim > 1 ? code(j) : (Number(test_labels[k]) - 4.5) * 0.6];
    });
    const far = points.flat().map(Math.abs).sort((a, b) => a - b)[Math.floor(1.96 * points.length)];
    draw_plane([3.5, 7, 14, 28, 56].find((e) => far < e) ?? 112);
    points.forEach(([x, y], k) => stage.put(dots.children[k], { cx: plane.sx(clip(x)), cy: plane.sy(clip(y)) }));
    numerals.forEach((text, digit) => {
      const own = points.filter((_, k) => Number(test_labels[k]) === digit), middle = (l) => own.map((point) => point[l]).sort((a, b) => a - b)[own.length >> 1];
      stage.put(text, { x: plane.sx(clip(middle(0))), y: plane.sy(clip(middle(1))) + 6 });
    });
    note.textContent = state.latent_dim === 1 ? "One latent: its code to the right, the classes above one another."
      : state.latent_dim === 2 ? "Codes of 500 test digits, by class." : `Codes of 500 test digits: latents ${i + 1} and ${j + 1}, whose KL is greatest (${round(last.kl[i])} and ${round(last.kl[j])} nats).`;
    distortion.set(last.distortion), rate.set(last.rate), negative_elbo.set(-last.elbo), truth.set(-last.true_elbo);
    const kl = [...last.kl].sort((a, b) => b - a);
    of_each.textContent = `KL of each latent, nats: ${kl.map((v) => round(v)).join(", ")}`;
    kl_bars.set(kl.map((v) => [[v, "recipe"]]));
    clock.textContent = `${last.steps} ${last.steps === 1 ? "step" : "steps"}, ${last.seconds.toFixed(1)} s`;
    const line = (name, colour, of, dashed) => ({ name, colour, dashed, points: trail.map((s) => [s.steps, of(s)]) });
    curves.set([line("distortion", "claim", (s) => s.distortion), line("rate", "recipe", (s) => s.rate),
      line("−ELBO, reported", "meaning", (s) => -s.elbo), ...(state.audit ? [line("−ELBO, healthy", "ink", (s) => -s.true_elbo, true)] : [])]);
    stage.say(`${last.steps} steps: distortion ${round(last.distortion)}, rate ${round(last.rate)}, ELBO ${round(last.elbo)} nats.`);
  }

  const clip = (v) => Math.min(extent, Math.max(-extent, v));

  function draw_plane(to) {
    if (to === extent) return;
    extent = to;
    const focused = handle && document.activeElement === handle.element;
    planeBox.replaceChildren();
    plane = stage.plane("The plane of codes", { extent, names: ["z1", "z2"], parent: planeBox, ticks: extent > 4 ? extent / 3.5 : 1 });
    dots = plane.points([...test_labels].map((label) => ({ x: 0, y: 0, colour: ink[label] })));
    numerals = colours.map((colour, digit) => plane.words(0, 0, digit, ink[digit]));
    handle = plane.handle("The code z", (x, y) => {
      state.z = [x, y];
      if (decoding) return;
      decoding = true;
      requestAnimationFrame(() => ask("drawn", code()));
    });
    handle.set(...state.z);
    if (focused) handle.element.focus({ preventScroll: true });
  }

  // ---- the worker, which rests while the figure is out of sight ----

  worker = live.training_in_worker();
  worker.onmessage = heard;
  let seen = false;
  stage.seen((now) => {
    seen = now;
    worker.postMessage({ running: state.running && seen });
  });

  // a chapter's link brings its setting
  function preset() {
    const name = location.hash.slice(1);
    if (!(name in presets)) return;
    change({ ...start, ...presets[name] }, true);
  }
  addEventListener("hashchange", preset);
  change({}, true);
  preset();

  return {
    get: () => ({ ...structuredClone(state), last, points: trail.length }),
    set({ running, ...part }) {
      if (Object.keys(part).length) change(part, ["latent_dim", "hidden", "seed", "bug"].some((key) => key in part));
      if (running !== undefined) go(running);
    },
    still() {
      change({ until: 600 });
      go(true);
      return new Promise((done) => (at_rest = done));
    },
  };
});
