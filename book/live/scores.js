// Scores under pressure: a perfect code of two factors is turned, packed, bent, copied, drowned in noise.
// The formulas are vaelib.disentanglement's; importance is each coordinate's share of the information.
"use strict";

live.figure("scores", [], function (stage) {
  const perfect = { turn: 0, pack: 0, noise: 0, bend: 0, copies: 0, dead: 0, draws: "mean", seed: 1 };
  const state = { ...perfect }, BINS = 20, GROUPS = 300, SIZE = 64, N = 1024;
  const presets = { Perfect: {}, Duplicated: { copies: 1 }, Rotated: { turn: 45 }, Packed: { pack: 1 }, Noise: { noise: 1 } };
  const factors = Array.from({ length: N }, (_, row) => [(row >> 2) & 3, row & 3]);
  const whole = (n, chance) => Math.floor(n * chance.uniform());
  let drawn = {};

  const buttons = stage.group("wide buttons");
  for (const [words, to] of Object.entries(presets)) stage.button(words, buttons, () => change({ ...perfect, ...to }));
  const left = stage.group("left"), right = stage.group("right");
  const plane = stage.plane("The first two coordinates of the code, each over its own range",
    { extent: 1.15, names: ["c1", "c2"], parent: left, ticks: 1 });
  plane.svg.style.cursor = "auto";
  const inks = ["#0072b2", "#e69f00", "#009e73", "#cc79a7"];
  const dots = [...plane.points(factors.slice(0, 128).map(([a]) => ({ x: 0, y: 0, colour: inks[a] }))).children];
  dots.forEach((dot, row) => stage.put(dot, { r: 3 + 1.4 * factors[row][1] }));
  stage.add(stage.make("p", { class: "live-row" }, "Colour: the first factor. Size: the second."), left);

  const matrix = stage.add(stage.make("table", { class: "live-matrix" }), right);
  const names = { mig: "MIG", sap: "SAP, by correlation", disentanglement: "disentanglement", completeness: "completeness",
    beta_vae: "beta-VAE score", factor_vae: "FactorVAE score" };
  const box = stage.group("numbers gauges", right), shown = {};
  for (const [name, label] of Object.entries(names)) shown[name] = [stage.number(label, box), stage.bars(box)];

  const controls = stage.group("wide controls"), sliders = {};
  const fixed = (v) => v.toFixed(2), whats = {
    turn: ["Turn", 0, 90, 1, (v) => `${v}°`], pack: ["Pack into one", 0, 1, 0.05, fixed], noise: ["Noise", 0, 1, 0.05, fixed],
    bend: ["Bend", 0, 1.5, 0.05, fixed], copies: ["Copies", 0, 1, 1, String], dead: ["Dead latents", 0, 3, 1, String],
  };
  for (const [name, [label, min, max, step, show]] of Object.entries(whats))
    sliders[name] = stage.slider(label, { min, max, step, value: state[name], parent: controls, show }, (v) => change({ [name]: v }));
  const draws = stage.choice("Of a dead latent show", { mean: "its mean", draw: "a draw" }, controls, (to) => change({ draws: to }));

  // ---- the code ----

  // chance once a seed: noise for each row, and the rows of the groups that share a factor
  function draw(seed) {
    const chance = vaelib.generator(seed), normals = () => Array.from({ length: N }, chance.normal);
    const sharing = (row, k) => (whole(N / 16, chance) << 4) | (k ? (whole(4, chance) << 2) | (row & 3) : (row & 12) | whole(4, chance));
    const groups = (each) => Array.from({ length: 2 * GROUPS }, () => {
      const k = whole(2, chance);
      return { k, rows: each(k), lot: chance.uniform() };
    });
    return {
      seed, noise: Array.from({ length: 5 }, normals),
      pairs: groups((k) => Array.from({ length: SIZE }, () => whole(N, chance)).map((row) => [row, sharing(row, k)])),
      same: groups((k) => {
        const first = whole(N, chance);
        return Array.from({ length: SIZE }, () => sharing(first, k));
      }),
    };
  }

  function columns({ turn, pack, noise, bend, copies, dead, draws }) {
    const [v1, v2] = [0, 1].map((k) => factors.map((row) => 2 * row[k] - 3));
    const angle = (turn * Math.PI) / 180, cos = turn === 90 ? 0 : Math.cos(angle), sin = Math.sin(angle);
    const c1 = v1.map((v, i) => cos * v + sin * v2[i]), c2 = v2.map((v, i) => cos * v - sin * v1[i]);
    const speaking = [c1.map((c, i) => c + 4 * pack * c2[i]), c2.map((c) => (1 - pack) * c)].map((c, j) => {
      const noisy = c.map((v, i) => Math.sqrt(1 - noise ** 2) * v + noise * Math.sqrt(5) * drawn.noise[j][i]);
      const most = Math.max(...noisy.map(Math.abs));
      return bend && most ? noisy.map((v) => ((most / 3) * Math.expm1((3 * bend * v) / most)) / bend) : noisy;
    });
    const whisper = (j) => [v1, v2][j % 2].map((v, i) => 0.01 * v + (draws === "draw" ? drawn.noise[2 + j][i] : 0));
    return [...speaking, ...(copies ? speaking : []), ...Array.from({ length: dead }, (_, j) => whisper(j))];
  }

  // ---- the scores ----

  const entropy = (weights) => {
    const all = vaelib.sum(weights);
    return all ? -vaelib.sum(weights.map((w) => (w > 0 ? (w / all) * Math.log(w / all) : 0))) : 0;
  };

  function information(code, k) {
    const low = Math.min(...code), step = (Math.max(...code) - low) / BINS, edges = Array.from({ length: BINS }, (_, b) => b * step + low);
    const counts = Array.from({ length: BINS }, () => [0, 0, 0, 0]);
    code.forEach((c, i) => {
      let bin = BINS - 1;
      while (edges[bin] > c) bin--;
      counts[bin][factors[i][k]]++;
    });
    return Math.max(0, entropy(counts.map(vaelib.sum)) + Math.log(4) - entropy(counts.flat()));
  }

  const mean = (values) => vaelib.sum(values) / values.length;
  const variance = (values, m = mean(values)) => vaelib.sum(values.map((v) => (v - m) ** 2)) / (values.length - 1);
  const gap = (column) => (([first, second]) => first - second)([...column].sort((a, b) => b - a));

  function squared_correlation(code, k) {
    const [mc, spread] = [mean(code), variance(code)];
    return spread ? (vaelib.sum(code.map((c, i) => (c - mc) * (factors[i][k] - 1.5))) / (N - 1)) ** 2 / (spread * ((1.25 * N) / (N - 1))) : 0;
  }

  // eq:dci: one minus the entropy of each row over its greatest, averaged by the rows' sums
  const concentration = (rows) => vaelib.sum(rows.map((row) =>
    (vaelib.sum(row) * Math.max(0, 1 - entropy(row) / Math.log(row.length))) / Math.max(1e-300, vaelib.sum(rows.flat()))));

  // logistic regression with C = 1 by Newton's steps, as scikit-learn fits it for two classes
  function beta_vae(codes) {
    const apart = (c, rows) => {
      let total = 0;
      for (const [a, b] of rows) total += Math.abs(c[a] - c[b]);
      return total / SIZE;
    };
    const cases = drawn.pairs.map(({ k, rows }) => ({ k, x: [...codes.map((c) => apart(c, rows)), 1] }));
    const d = codes.length, w = new Array(d + 1).fill(0);
    const dot = (x) => {
      let total = 0;
      for (let j = 0; j <= d; j++) total += x[j] * w[j];
      return total;
    };
    for (let round = 0; round < 25; round++) {
      const slope = w.map((v, j) => (j < d ? v : 0)), curve = w.map((_, i) => w.map((_, j) => (i === j ? (i < d ? 1 : 1e-9) : 0)));
      for (const { k, x } of cases.slice(0, GROUPS)) {
        const p = vaelib.sigmoid(dot(x)), far = p * (1 - p);
        for (let i = 0; i <= d; i++) {
          slope[i] += (p - k) * x[i];
          for (let j = 0; j <= i; j++) curve[j][i] = curve[i][j] += far * x[i] * x[j];
        }
      }
      const step = solve(curve, slope), size = Math.max(...step.map(Math.abs));
      step.forEach((s, j) => (w[j] -= s * Math.min(1, 5 / size)));
      if (size < 1e-6) break;
    }
    return mean(cases.slice(GROUPS).map(({ k, x }) => (dot(x) > 0 === (k === 1) ? 1 : 0)));
  }

  function solve(matrix, right) {
    const rows = matrix.map((row, i) => [...row, right[i]]), n = rows.length;
    for (let i = 0; i < n; i++)
      for (let r = i + 1; r < n; r++)
        for (let c = n, share = rows[r][i] / rows[i][i]; c >= i; c--) rows[r][c] -= share * rows[i][c];
    const x = new Array(n).fill(0);
    for (let i = n - 1; i >= 0; i--) x[i] = (rows[i][n] - vaelib.sum(x.map((v, j) => (j > i ? v * rows[i][j] : 0)))) / rows[i][i];
    return x;
  }

  function factor_vae(codes) {
    const within = (c, rows) => {
      let m = 0, total = 0;
      for (const row of rows) m += c[row] / SIZE;
      for (const row of rows) total += (c[row] - m) ** 2;
      return total / (SIZE - 1);
    };
    const spread = codes.map((c) => variance(c)), votes = drawn.same.map(({ k, rows, lot }) => {
      const still = codes.map((c, j) => (Math.sqrt(spread[j]) < 0.05 ? Infinity : within(c, rows) / spread[j]));
      const least = Math.min(...still), tied = still.flatMap((v, j) => (v <= least * (1 + 1e-9) ? [j] : []));
      return { k, j: tied[Math.floor(lot * tied.length)] }; // of equals rounding would choose one
    });
    const counts = codes.map(() => [0, 0]);
    for (const { k, j } of votes.slice(0, GROUPS)) counts[j][k]++;
    return mean(votes.slice(GROUPS).map(({ k, j }) => (counts[j][1] > counts[j][0] ? 1 : 0) === k ? 1 : 0));
  }

  // ---- what is shown ----

  function change(part) {
    Object.assign(state, part);
    for (const name of Object.keys(whats)) sliders[name].set(state[name]);
    draws.set(state.draws);
    if (drawn.seed !== state.seed) drawn = draw(state.seed);
    const codes = (state.codes = columns(state));
    const known = codes.map((c) => [0, 1].map((k) => information(c, k)));
    const column = (table, k) => table.map((row) => row[k]), both = (of) => mean([0, 1].map(of));
    const importance = known.map((row) => row.map((v, k) => v / Math.max(1e-300, vaelib.sum(column(known, k)))));
    const S = codes.map((c) => [0, 1].map((k) => squared_correlation(c, k)));
    const scores = {
      mig: both((k) => gap(column(known, k)) / Math.log(4)), sap: both((k) => gap(column(S, k))),
      disentanglement: concentration(importance), completeness: concentration([0, 1].map((k) => column(importance, k))),
      beta_vae: beta_vae(codes), factor_vae: factor_vae(codes),
    };
    for (const [name, [number, bars]] of Object.entries(shown)) {
      const score = Math.min(1, Math.max(0, scores[name]));
      number.set(scores[name]);
      bars.set([[[score, "claim"], [1 - score, "rule"]]]);
    }
    tabulate(known.map((row) => row.map((v) => v / Math.log(4))));
    const most = codes.slice(0, 2).map((c) => Math.max(1e-9, ...c.map(Math.abs)));
    dots.forEach((dot, i) => stage.put(dot, { cx: plane.sx(codes[0][i] / most[0]), cy: plane.sy(codes[1][i] / most[1]) }));
    stage.say(Object.entries(names).map(([name, label]) => `${label} ${scores[name].toFixed(2)}`).join(", ") + ".");
  }

  // a row a coordinate, a column a factor: the share of the factor that the coordinate knows
  function tabulate(shares) {
    const speaking = state.copies ? 4 : 2, cell = (tag, ...children) => stage.make(tag, tag === "th" ? { scope: "col" } : {}, ...children);
    const row = (values, j) => stage.make("tr", {}, stage.make("th", { scope: "row" }, `c${j + 1}${j < speaking ? "" : ", dead"}`),
      ...values.map((v) => stage.make("td", { style: `background: color-mix(in srgb, var(--claim) ${(45 * v).toFixed(1)}%, transparent)` }, v.toFixed(2))));
    matrix.replaceChildren(stage.make("caption", {}, "I(c; v) / H(v)"),
      stage.make("tr", {}, cell("td", ""), cell("th", "factor 1"), cell("th", "factor 2")), ...shares.map(row));
  }

  change({});
  return { get: () => structuredClone(state), set: change };
});
