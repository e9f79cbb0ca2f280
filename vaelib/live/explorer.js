// The explorer: z moves through a model's latents, and its decoder draws what z stands for.
// A point in the plane of codes where there are two latents, else a slider a latent, sorted by KL.
"use strict";

live.figure("explorer", [], function (stage) {
  const data = window.VAELIB_DATA.explorer, model = vaelib.model("explorer");
  const { latent_dim, config: { image_shape: [channels, height, width] } } = model;
  const area = channels * height * width;
  const levels = data.images ? vaelib.bytesOf(data.images) : [], shown = data.shown ?? [];
  const pixels = (i) => Array.from(levels.subarray(i * area, (i + 1) * area), (level) => level / 255);
  const latents = Array.from({ length: latent_dim }, (_, j) => j);
  const named = (j) => `z${j + 1}`, fixed = (v) => stage.fixed(v);
  const dead = (j) => data.kl !== null && data.kl[j] < data.inactive;
  const state = { z: latents.map(() => 0), image: shown.length ? 0 : null, seed: 0, colour: Object.keys(data.groups ?? {})[0] };
  let posterior = null; // of the image

  const question = latent_dim === 2 ? "Drag the point, or move it by the arrow keys: what does the model draw between the codes?"
    : data.kl ? "The latents with the most KL come first: what does each of them change?" : "What does each latent change?";
  stage.add(stage.make("p", {}, question), stage.group("question wide"));
  const left = stage.group("left column"), right = stage.group("right column");
  const space = latent_dim === 2 ? plane(left) : sliders(right);
  const pictures = stage.group("images", latent_dim === 2 ? right : left);
  const decoded = stage.image("decoded from z", height, width, pictures);
  const original = shown.length ? stage.image("the image", height, width, pictures) : null;
  const buttons = stage.group("buttons", right);
  stage.button("Draw z from the prior", buttons, () => {
    const seed = state.seed + 1, chance = vaelib.generator(seed);
    change({ seed, z: latents.map(chance.normal) });
  });
  stage.button("To the origin", buttons, () => change({ z: latents.map(() => 0) }));
  const thumbs = shown.length ? thumbnails(right) : [];
  const numbers = stage.group("numbers", right);
  const log_prior = stage.number("log p(z)", numbers, "nats");
  const kl = shown.length ? stage.number("KL from q(z | x) to p(z) of the image", numbers, "nats") : null;
  if (latent_dim === 2 && data.kl) latents.forEach((j) =>
    stage.number(`mean KL of ${named(j)}${dead(j) ? ", a dead latent" : ""}`, numbers, "nats").set(data.kl[j]));

  // ---- two latents ----

  function plane(parent) {
    const packed = data.codes ? new Float32Array(vaelib.bytesOf(data.codes).buffer) : [];
    const codes = Array.from({ length: packed.length / 2 }, (_, i) => [packed[2 * i], packed[2 * i + 1]]);
    const extent = codes.reduce((most, [x, y]) => Math.max(most, Math.ceil(Math.abs(x)), Math.ceil(Math.abs(y))), 3.5);
    const made = stage.plane("The plane of codes", { extent, names: latents.map(named), parent, ticks: Math.ceil(extent / 8) });
    const groups = Object.keys(data.groups ?? {});
    const menu = groups.length > 1 ? stage.menu("Colour by", Object.fromEntries(groups.map((name) => [name, name])), parent, (colour) => change({ colour })) : null;
    const legend = stage.add(stage.make("ul", { class: "live-legend", "aria-label": "Colours of the codes" }), parent);
    const circles = [...made.points(codes.map(([x, y]) => ({ x, y, colour: "var(--claim)" }))).children];
    const ellipse = made.ellipse("live-posterior");
    const handle = made.handle("The code z", (x, y) => change({ z: [x, y] }));
    let coloured;

    // up to ten values have a colour each, more of them lie between two
    function colourBy(name) {
      const of = data.groups[name], values = [...new Set(of)].sort((a, b) => a - b);
      const mixed = (i) => `color-mix(in oklab, #0072B2, #E69F00 ${(100 * i) / (values.length - 1)}%)`;
      const few = values.length <= data.colours.length;
      const colour = new Map(values.map((v, i) => [v, few ? live.ink(data.colours[v % data.colours.length]) : mixed(i)]));
      circles.forEach((circle, i) => circle.setAttribute("fill", values.length > 1 ? colour.get(of[i]) : "var(--claim)"));
      const entries = few ? values : [values[0], values.at(-1)];
      legend.hidden = values.length < 2;
      legend.replaceChildren(...entries.map((v) => stage.make("li", {},
        stage.make("span", { class: "live-swatch live-points", style: `background: ${colour.get(v)}` }), data.names[v] ?? String(v))));
    }

    return {
      show() {
        handle.set(...state.z);
        if (posterior) ellipse(...posterior.mean, ...posterior.log_var.map((v) => Math.exp(v / 2)));
        if (groups.length && coloured !== state.colour) colourBy((coloured = state.colour));
        menu?.set(state.colour);
      },
    };
  }

  // ---- any other number of them; of a map of latents those with the most KL ----

  function sliders(parent) {
    const all = data.kl ? [...latents].sort((a, b) => data.kl[b] - data.kl[a]) : latents;
    const order = all.slice(0, data.sliders);
    if (order.length < all.length) stage.add(stage.make("p", {}, `${order.length} of ${all.length} latents have a slider` +
      `${data.kl ? ": those with the most KL" : ""}; the others stay where the image or the draw puts them.`), parent);
    const living = stage.group("sliders", parent), idle = order.filter(dead);
    const rest = stage.make("details", { class: "live-dead" }, stage.make("summary", {},
      `${idle.length} dead latent${idle.length === 1 ? "" : "s"}: KL below ${data.inactive} nats`));
    if (idle.length) stage.add(rest, parent);
    const made = [];
    for (const j of order) {
      const words = named(j) + (data.kl ? `, KL ${fixed(data.kl[j])} nats` : ""), at = dead(j) ? rest : living;
      const moved = (value) => change({ z: state.z.map((v, k) => (k === j ? value : v)) }, j);
      made.push([j, stage.slider(words, { min: -3, max: 3, step: 0.01, value: 0, parent: at, show: fixed }, moved)]);
    }
    return {
      show() {
        for (const [j, { input, set }] of made) {
          const limit = Math.max(Number(input.max), Math.ceil(Math.abs(state.z[j])));
          stage.put(input, { min: -limit, max: limit });
          set(state.z[j]);
        }
      },
    };
  }

  // ---- images that it was not trained on ----

  function thumbnails(parent) {
    const box = stage.add(stage.make("fieldset", { class: "live-thumbs" }, stage.make("legend", {}, "Encode an image")), parent);
    return shown.map((number, i) => {
      const canvas = stage.make("canvas", { width, height, "aria-hidden": "true" });
      const button = stage.make("button", { type: "button", "aria-label": `image ${number}` }, canvas);
      stage.paint(canvas, pixels(i));
      button.addEventListener("click", () => change({ image: i }));
      return stage.add(button, box);
    });
  }

  function change(part, moved = null) {
    Object.assign(state, part);
    if ("image" in part && part.image !== null) {
      posterior = model.encode(pixels(part.image));
      if (!("z" in part)) state.z = [...posterior.mean];
      original.draw(pixels(part.image));
      original.label(`image ${shown[part.image]}`);
      kl.set(vaelib.sum(vaelib.kl_per_dimension(posterior.mean, posterior.log_var)));
      thumbs.forEach((button, i) => button.setAttribute("aria-pressed", i === part.image));
    }
    state.decoded = [...model.expected_image(model.decode(state.z))];
    decoded.draw(state.decoded);
    space.show();
    const none = latents.map(() => 0);
    log_prior.set(vaelib.normal_log_density(state.z, none, none));
    const told = moved === null ? latents.slice(0, 4) : [moved];
    stage.say(`${told.map((j) => `${named(j)} is ${fixed(state.z[j])}`).join(", ")}. log p(z) ${log_prior.element.textContent} nats.`);
  }

  // in a notebook's frame: as high as it needs
  if (window.frameElement) new ResizeObserver(() =>
    (window.frameElement.style.height = `${document.body.offsetHeight + 4}px`)).observe(document.body);

  change({ image: state.image });
  return { get: () => structuredClone(state), set: (part) => change(part) };
});
