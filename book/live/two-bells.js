// Two bells: q, one normal, over p; the KL in both directions, its integrand shaded, and the way down in either.
"use strict";

live.figure("two-bells", ["ring"], function (stage) {
  const state = { target: "two", direction: "reverse", mean: 1, log_var: 0 };
  const step = 0.02, line = Array.from({ length: 2401 }, (_, i) => (i - 1200) * step);
  const most = 1.8, least = -5;

  const normal = (z, mean, log_var) => vaelib.normal_log_density([z], [mean], [log_var]);
  const logSum = (a, b) => Math.max(a, b) + Math.log1p(Math.exp(-Math.abs(a - b)));
  const bump = 2 * Math.log(0.6);
  const targets = {
    two: { log_p: (z) => logSum(Math.log(0.6) + normal(z, -2, bump), Math.log(0.4) + normal(z, 2, bump)), across: [-5, 5], upward: [0, 0.8], pay: [-0.5, 1.5] },
    ring: { log_p: live.ring.log_posterior(live.ring.images.top), across: [-3, 3], upward: [0, 4], pay: [-1, 4] },
    one: { log_p: (z) => normal(z, 0, 0), across: [-4, 4], upward: [0, 1.2], pay: [-0.5, 1.5] },
  };

  const left = stage.group("left"), right = stage.group("right");
  const box = stage.group("bells", left);
  const target = stage.choice("p", { two: "two bells", ring: "the ring's posterior", one: "the standard normal" }, right, (to) => change({ target: to }));
  const direction = stage.choice("Shade and descend", { reverse: "KL(q ‖ p)", forward: "KL(p ‖ q)" }, right, (to) => change({ direction: to }));
  const place = stage.slider("mean", { min: -4, max: 4, step: 0.01, value: 0, parent: right, show: (v) => v.toFixed(2) }, (mean) => change({ mean }));
  const width = stage.slider("log_var", { min: least, max: most, step: 0.01, value: 0, parent: right, show: (v) => v.toFixed(2) }, (log_var) => change({ log_var }));
  stage.button("Descend", right, () => descend());
  const numbers = stage.group("numbers", right);
  const reverse = stage.number("reverse, KL(q ‖ p)", numbers, "nats", { digits: 3 });
  const forward = stage.number("forward, KL(p ‖ q)", numbers, "nats", { digits: 3 });
  const where = stage.number("½ mean²", numbers, "nats", { digits: 3 });
  const wide = stage.number("½ (exp(log_var) − log_var − 1)", numbers, "nats", { digits: 3 });

  let view, log_p, ps; // of the target that is shown
  function show() {
    const { log_p: density, across, upward, pay } = targets[state.target];
    log_p = line.map(density), ps = log_p.map(Math.exp);
    box.replaceChildren();
    const bells = stage.plane("q over p", { across, upward, height: 240, names: ["z", "density"], parent: box, rows: upward[1] / 4, steps: [0.05, upward[1] / 40] });
    const below = stage.plane("the integrand", { across, upward: pay, height: 190, names: ["z", "integrand"], parent: box, rows: pay[1] > 2 ? 1 : 0.5 });
    stage.put(below.svg, { class: "live-plane still", role: "img" });
    const grey = bells.path("live-area"), seen = line.map((z, i) => [z, ps[i]]).filter(([z]) => z >= across[0] && z <= across[1]);
    grey(seen);
    view = { of: state.target, bell: bells.path("live-curve"), more: below.path("live-area recipe"), less: below.path("live-area claim") };
    view.top = bells.bell([least, most], (mean, log_var) => change({ mean, log_var }));
  }

  function change(part) {
    Object.assign(state, part);
    if (view?.of !== state.target) show();
    const { mean, log_var } = state, [low, high] = targets[state.target].across;
    target.set(state.target), direction.set(state.direction), place.set(mean), width.set(log_var);
    const log_q = line.map((z) => normal(z, mean, log_var)), qs = log_q.map(Math.exp);
    const pays = { reverse: qs.map((q, i) => q * (log_q[i] - log_p[i])), forward: ps.map((p, i) => (p ? p * (log_p[i] - log_q[i]) : 0)) };
    reverse.set(step * vaelib.sum(pays.reverse)), forward.set(step * vaelib.sum(pays.forward));
    where.set(0.5 * mean * mean), wide.set(0.5 * (Math.exp(log_var) - log_var - 1));
    for (const piece of [where, wide]) piece.element.parentElement.hidden = state.target !== "one";
    const inside = line.map((z, i) => [z, i]).filter(([z]) => z >= low && z <= high);
    view.bell(inside.map(([z, i]) => [z, qs[i]]));
    view.more(inside.map(([z, i]) => [z, Math.max(0, pays[state.direction][i])]));
    view.less(inside.map(([z, i]) => [z, Math.min(0, pays[state.direction][i])]));
    view.top(mean, log_var);
    stage.say(`q has mean ${mean.toFixed(2)} and standard deviation ${Math.exp(log_var / 2).toFixed(2)}; ` +
      `reverse ${reverse.element.textContent}, forward ${forward.element.textContent} nats.`);
  }

  // down the slope in the mean and in log_var, each in units of q's own width; never more than a tenth at once
  function go() {
    const { mean, log_var } = state, variance = Math.exp(log_var), slopes = [0, 0];
    line.forEach((z, i) => {
      const log_q = normal(z, mean, log_var), away = [(z - mean) / variance, 0.5 * ((z - mean) ** 2 / variance - 1)];
      const weight = state.direction === "reverse" ? Math.exp(log_q) * (log_q - log_p[i]) : -ps[i];
      for (const j of [0, 1]) slopes[j] += step * weight * away[j];
    });
    const by = [0.1 * variance * slopes[0], 0.2 * slopes[1]].map((v) => Math.min(0.1, Math.max(-0.1, v)));
    Object.assign(state, { mean: mean - by[0], log_var: Math.min(most, log_var - by[1]) });
    return Math.max(...by.map(Math.abs)) > 1e-6;
  }
  let going = 0;
  function descend() {
    const mine = ++going, begun = `${state.target} ${state.direction}`;
    if (stage.still.matches) {
      while (go());
      return change({});
    }
    stage.animate(() => {
      if (mine !== going || begun !== `${state.target} ${state.direction}`) return false;
      const more = go();
      change({});
      return more;
    });
  }

  change({});
  return { get: () => ({ ...state }), set: (to) => (going++, change(to)) };
});
