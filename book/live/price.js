// The price: what each latent of a trained model of sprites costs and does, and how it was switched on.
"use strict";

live.figure("price", ["sprites-films", "sprites-vae"], function (stage) {
  const onDemand = ["sprites-beta4", "sprites-beta16", "sprites-beta-vae", "sprites-annealed"];
  const { films, starts, in_use, side } = window.VAELIB_DATA["sprites-films"];
  const names = ["sprites-vae", ...onDemand], end = films[names[0]].steps.length - 1;
  const state = { model: names[0], start: "heart", latent: null, value: 2.5, record: end };
  const fixed = (v) => stage.fixed(v, 1), values = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5];
  const pixels = Object.fromEntries(Object.entries(starts).map(([name, bits]) => [name, [...vaelib.bitsOf(bits)]]));
  let origin = [], order = [], left = [], drawing = false, playing = false;

  const top = stage.group("wide"), column = stage.group("left column"), right = stage.group("right");
  const choice = stage.choice("Price", Object.fromEntries(names.map((name) => [name, films[name].words])), top, choose);
  const waiting = stage.add(stage.make("p", { class: "live-row" }), top);
  const start = stage.choice("Start from", Object.fromEntries(Object.keys(starts).map((name) => [name, `the ${name}`])), right, (to) => change({ start: to }));

  const list = stage.add(stage.make("ul", { class: "live-latents", "aria-label": "The ten latents" }), column);
  const rows = films[names[0]].kl[0].map(() => {
    const words = stage.make("span"), bar = stage.make("span", { class: "live-latent-bar", "aria-hidden": "true" });
    const button = stage.make("button", { type: "button" }, words, bar);
    const strip = stage.make("canvas", { width: values.length * (side + 2) - 2, height: side, role: "img" });
    const row = stage.add(stage.make("li", {}, button, strip), list);
    button.addEventListener("click", () => change({ latent: order[rows.findIndex((r) => r.row === row)] }));
    return { row, words, bar, button, strip };
  });

  const pictures = stage.group("images", right);
  const whole = stage.image("", side, side, pictures), moved = stage.image("", side, side, pictures);
  const mover = stage.slider("its value", { min: -3, max: 3, step: 0.1, value: state.value, parent: right, show: fixed }, (to) => change({ value: to }));
  const film = stage.slider("Step", { min: 0, max: end, value: end, parent: right, show: (i) => films[names[0]].steps[i].toLocaleString("en") }, (to) => (playing = false, change({ record: to })));
  const buttons = stage.group("buttons", right);
  const play = stage.button("Play the training", buttons, () => {
    playing = !playing;
    if (playing) change({ record: state.record === end ? 0 : state.record }), run();
    else change({});
  });
  const numbers = stage.group("numbers", column);
  const distortion = stage.number("distortion D", numbers, "nats", { colour: "claim" });
  const rate = stage.number("rate R, the bars' sum", numbers, "nats", { colour: "recipe" });
  const price = stage.number("price β", numbers, "nats for a nat");
  const capacity = stage.number("capacity C", numbers, "nats");
  const paid = stage.number("D + βR, which training lowers", numbers, "nats");
  const used = stage.number(`latents in use, KL above ${in_use} nats`, numbers, "", { digits: 0 });

  // the other models are fetched when they are asked for, half a megabyte each
  async function choose(name) {
    waiting.textContent = "Loading its weights …";
    try {
      await live.load(name);
      change({ model: name, latent: null });
    } catch (error) {
      choice.set(state.model);
      waiting.textContent = `${error.message}.`;
    }
  }

  function change(part) {
    Object.assign(state, part);
    const { model, record } = state, shown = films[model], costs = shown.kl[record], last = shown.kl[end];
    const network = vaelib.model(model);
    order = last.map((_, j) => j).sort((a, b) => last[b] - last[a]);
    state.latent ??= order[0];
    choice.set(model), start.set(state.start), film.set(record), mover.set(state.value);
    waiting.textContent = "";
    play.textContent = playing ? "Pause" : "Play the training";

    const most = Math.max(...names.flatMap((name) => films[name].kl.flat()));
    order.forEach((j, place) => {
      const { row, words, bar, button } = rows[place], dead = costs[j] <= in_use;
      words.textContent = `z${j + 1}: ${costs[j].toFixed(2)} nats`;
      bar.style.width = `${(100 * costs[j]) / most}%`;
      row.className = dead ? "dead" : "";
      button.setAttribute("aria-pressed", j === state.latent);
    });
    const r = vaelib.sum(costs), d = shown.distortion[record];
    distortion.set(d), rate.set(r), used.set(costs.filter((kl) => kl > in_use).length);
    for (const [number, value] of [[price, shown.price?.[record]], [capacity, shown.capacity?.[record]], [paid, shown.price && d + shown.price[record] * r]]) {
      number.element.parentElement.hidden = value === undefined;
      if (value !== undefined) number.set(value);
    }

    if (["model", "start"].some((key) => key in part) || !origin.length) {
      origin = [...network.encode(pixels[state.start]).mean];
      whole.draw(network.expected_image(network.decode(origin)));
      whole.label(`the ${state.start}, rebuilt`);
      left = [...order];
      for (const [place, { strip }] of rows.entries()) {
        strip.getContext("2d").clearRect(0, 0, strip.width, strip.height);
        strip.setAttribute("aria-label", `six pictures: only z${order[place] + 1} moves, from −2.5 to 2.5`);
      }
      if (!drawing) stage.animate(() => (drawing = strips()));
      drawing = true;
    }
    const { latent, value } = state;
    moved.draw(decoded(latent, value));
    moved.label(`only z${latent + 1} moved, to ${fixed(value)}`);
    stage.say(`${shown.words}, step ${shown.steps[record]}: ${used.element.textContent} latents in use, rate ${r.toFixed(1)}, ` +
      `distortion ${d.toFixed(1)} nats. z${latent + 1} is ${fixed(value)}.`);
  }

  function decoded(latent, value) {
    const network = vaelib.model(state.model);
    return network.expected_image(network.decode(origin.map((v, j) => (j === latent ? value : v))));
  }

  // a latent's strip at a time, so that nothing waits for all ten; true while some are left
  function strips() {
    const latent = left.shift();
    if (latent === undefined) return false;
    const { strip } = rows[order.indexOf(latent)], one = stage.make("canvas", { width: side, height: side });
    values.forEach((value, i) => {
      stage.paint(one, decoded(latent, value));
      strip.getContext("2d").drawImage(one, i * (side + 2), 0);
    });
    return left.length > 0;
  }

  let rested = 0;
  function run() {
    stage.animate((elapsed) => {
      if (!playing) return false;
      rested += elapsed;
      if (rested > 120) (rested = 0), (playing = state.record + 1 < end), change({ record: state.record + 1 });
      return playing;
    });
  }

  change({});
  return {
    get: () => ({ ...structuredClone(state), origin: [...origin], undrawn: left.length }),
    // a state may name a model that was not loaded yet
    set: async (to) => (await live.load(to.model ?? state.model), change("model" in to ? { latent: null, ...to } : to)),
    still: async () => (await live.load("sprites-beta-vae"), change({ model: "sprites-beta-vae", latent: null })),
  };
});
