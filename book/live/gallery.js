// The gallery: pick data, latents and beta; the trained run's pictures, its numbers and each latent's KL.
"use strict";

live.figure("gallery", ["gallery-runs"], function (stage) {
  const { images, runs, in_use } = window.VAELIB_DATA["gallery-runs"];
  const state = { run: "mnist-z2" };
  const sets = [...new Set(Object.values(runs).map((run) => run.data))];
  const among = (data) => Object.entries(runs).filter(([, run]) => run.data === data);
  const distinct = (data, key) => [...new Set(among(data).map(([, run]) => run[key]))].sort((a, b) => a - b);
  const tc = (run) => run.schedule !== "constant"; // beta weighs the total correlation alone

  const controls = stage.group("wide picks");
  const set = stage.menu("Data set", Object.fromEntries(sets.map((name) => [name, name])), controls, (name) => change({ run: among(name)[0][0] }));
  const picks = {}; // of each data set, what was trained on it
  for (const data of sets) {
    const box = stage.group("picks", controls);
    const choice = (label, key) => {
      const values = distinct(data, key);
      return stage.choice(label, Object.fromEntries(values.map((v) => [v, String(v)])), box, (to) => pick(key, Number(to)));
    };
    picks[data] = { box, latents: choice("Latents d", "latents"), beta: choice("Price β", "beta") };
  }
  const note = stage.add(stage.make("p", { class: "live-refusal live-wide" }));

  const pictures = stage.group("wide strips");
  const shown = {};
  for (const [kind, words] of Object.entries({ images: "test images", reconstructions: "as the model rebuilds them", samples: "drawn from the prior", traversals: "five latents, each from −2.5 to 2.5" })) {
    const picture = stage.make("img"), caption = stage.make("p", { "aria-hidden": "true" }, words);
    shown[kind] = { picture, words, box: stage.add(stage.make("div", { class: "live-strip" }, caption), pictures) };
  }

  const numbers = stage.group("left numbers");
  const whole = { digits: 0 }, distortion = stage.number("distortion D", numbers, "nats", { digits: 1 });
  const rate = stage.number("rate R, the KL", numbers, "nats"), elbo = stage.number("ELBO = −D − R", numbers, "nats", { digits: 1 });
  const descended = stage.number("descended: D + β R", numbers, "nats", { digits: 1 });
  const active = stage.number("latents whose mean moves (variance above 0.01)", numbers, "", whole);
  const used = stage.number(`latents of more than ${in_use} nats`, numbers, "", whole);
  const minutes = stage.number("training on one core", numbers, "minutes", { digits: 1 });

  const bars = stage.add(stage.make("svg", { viewBox: "0 0 400 150", class: "live-latents", role: "img" }), stage.group("right"));
  const command = stage.add(stage.make("code", { class: "live-command" }), stage.group("wide"));

  // one picker moves; the other keeps its value where such a run was trained
  function pick(key, to) {
    const now = runs[state.run], other = key === "latents" ? "beta" : "latents";
    const fits = among(now.data).filter(([, run]) => run[key] === to);
    const [name, run] = fits.find(([, run]) => run[other] === now[other]) ?? fits[0];
    const moved = run[other] !== now[other];
    const words = { latents: (run) => `${run.latents} latents`, beta: (run) => `beta ${run.beta}` };
    change({ run: name }, moved ? `With ${words[key](run)} and ${words[other](now)} no run was trained; this one has ${words[other](run)}.` : "");
  }

  function change(part, words = "") {
    Object.assign(state, part);
    const run = runs[state.run];
    set.set(run.data);
    for (const [data, { box }] of Object.entries(picks)) box.hidden = data !== run.data;
    picks[run.data].latents.set(run.latents);
    picks[run.data].beta.set(run.beta);
    note.textContent = words;

    const sources = { images: images[run.data], ...run.pictures };
    for (const [kind, { picture, words, box }] of Object.entries(shown)) {
      box.hidden = !sources[kind];
      if (!sources[kind]) continue;
      const whose = kind === "images" ? run.data : `${run.data}, ${run.latents} latents, beta ${run.beta}`;
      stage.put(picture, { src: sources[kind], alt: `${words}: ${whose}` });
      box.append(picture);
    }

    distortion.set(run.reconstruction);
    rate.set(run.kl);
    elbo.set(run.elbo);
    descended.set(run.reconstruction + run.beta * run.kl);
    descended.element.parentElement.hidden = tc(run);
    active.set(run.active_units);
    used.set(run.kl_per_dimension.filter((kl) => kl > in_use).length);
    minutes.set(run.seconds / 60);
    command.textContent = `python book/studies/gallery.py --only ${state.run}`;
    draw(run);
    stage.say(`${run.data}, ${run.latents} latents, beta ${run.beta}${tc(run) ? " on the total correlation" : ""}. Distortion ${run.reconstruction.toFixed(1)}, ` +
      `rate ${run.kl.toFixed(2)}, ELBO ${run.elbo.toFixed(1)} nats. ${run.active_units} active latents. ${words}`);
  }

  // the KL of each latent, the largest first, on one scale for a data set
  function draw(run) {
    const most = Math.max(...among(run.data).flatMap(([, other]) => other.kl_per_dimension));
    const sorted = [...run.kl_per_dimension].sort((a, b) => b - a), wide = Math.min(40, 380 / sorted.length);
    const label = `KL of each latent: ${sorted[0].toFixed(2)} to ${sorted.at(-1).toFixed(2)} nats`;
    const bar = (kl, i) => stage.make("rect", { x: 10 + i * wide, y: 114 - (100 * kl) / most, width: 0.85 * wide, height: 1 + (100 * kl) / most });
    bars.replaceChildren(...sorted.map(bar), stage.make("text", { x: 10, y: 138 }, label));
    stage.put(bars, { "aria-label": label });
  }

  change({});
  return { get: () => ({ ...state }), set: change };
});
