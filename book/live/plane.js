// The plane: a point of a 2-latent model's code space is dragged, and the decoder draws what it stands for.
"use strict";

live.figure("plane", ["mnist-z2", "digits"], function (stage) {
  const model = vaelib.model("mnist-z2"), data = live.digits();
  const state = { z: [1, -0.5], show: "mean", seed: 1 };

  const left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("The plane of codes", { extent: 3.5, names: ["z1", "z2"], parent: left });
  const codes = data.codes.map(([x, y], i) => ({ x, y, colour: data.colour(i) }));
  plane.points(codes);
  for (let digit = 0; digit <= 9; digit++) {
    const [x, y] = data.middle(digit);
    plane.words(x, y, digit, data.colours[digit]);
  }
  const ring = plane.ellipse("live-ring");
  const handle = plane.handle("The code z", (x, y) => change({ z: [x, y] }));

  const pictures = stage.group("images", right);
  const drawn = stage.image("drawn from z", 28, 28, pictures);
  const nearest = stage.image("nearest real digit", 28, 28, pictures);
  const show = stage.choice("Show", { mean: "the mean", draw: "a draw" }, right, (to) => change({ show: to }));
  const again = stage.button("Draw again", right, () => change({ show: "draw", seed: state.seed + 1 }));

  const numbers = stage.group("numbers", right);
  const log_prior = stage.number("log p(z)", numbers, "nats");
  const entropy = stage.number("entropy of p(x | z)", numbers, "nats");
  const log_likelihood = stage.number("log p(x | z) of this draw", numbers, "nats");

  function change(part) {
    Object.assign(state, part);
    const { z, seed } = state;
    const logits = model.decode(z), mean = model.expected_image(logits);
    const chance = vaelib.generator(seed), draw = mean.map(chance.bernoulli);
    const isDraw = state.show === "draw";

    handle.set(...z);
    show.set(state.show);
    drawn.draw(isDraw ? draw : mean);
    drawn.label(isDraw ? "drawn from p(x | z)" : "mean of p(x | z)");
    lookAt(closest(z));
    log_prior.set(vaelib.normal_log_density(z, [0, 0], [0, 0]));
    entropy.set(vaelib.bernoulli_entropy(logits));
    log_likelihood.set(vaelib.bernoulli_log_likelihood(draw, logits));
    log_likelihood.element.parentElement.hidden = !isDraw;
    again.disabled = !isDraw;
    stage.say(`z is ${z.map((v) => v.toFixed(2)).join(", ")}. The nearest real digit is a ${data.labels[closest(z)]}. ` +
      `log p(z) ${log_prior.element.textContent} nats; the pixels' entropy ${entropy.element.textContent} nats.`);
  }

  function closest([x, y]) {
    const far = data.codes.map(([a, b]) => (a - x) ** 2 + (b - y) ** 2);
    return far.indexOf(Math.min(...far));
  }

  function lookAt(i) {
    nearest.draw(data.pixels(i));
    nearest.label(`nearest real digit, a ${data.labels[i]}`);
    ring(...data.codes[i], 0.12, 0.12);
  }

  // a mouse that only passes shows the digit behind the point under it
  plane.svg.addEventListener("pointermove", (event) => event.buttons || lookAt(closest(plane.at(event))));
  plane.svg.addEventListener("pointerleave", () => lookAt(closest(state.z)));

  change({});
  return { get: () => structuredClone(state), set: change };
});
