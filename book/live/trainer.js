// A VAE that trains in the page: forward, backward and Adam by hand, and the bugs that can be planted.
// Two functions that need nothing around them, because a worker is made from their text.
"use strict";

// The program line by line, its bugs, and the checks that tell them apart; what it takes is the networks'.
live.trainer = function ({ generator, sigmoid, softplus }) {
  // ---- the program: what a bug may change, each with its derivative ----

  const healthy = {
    std: (log_var) => Math.exp(log_var / 2),
    std_slope: (log_var, std) => std / 2,
    passes: 1, // of z's gradient, to mean and log_var
    logit: (v) => v,
    logit_slope: () => 1,
    share: () => 1, // of a pixel's nats, among so many pixels
    kl_weight: (beta) => beta,
    kl_reported: 1,
  };
  const programs = {
    none: healthy,
    log_var_as_sigma: { ...healthy, std: (log_var) => log_var, std_slope: () => 1 },
    half_log_var: { ...healthy, std: (log_var) => log_var / 2, std_slope: () => 0.5 },
    variance_as_sigma: { ...healthy, std: Math.exp, std_slope: (log_var, std) => std },
    detached: { ...healthy, passes: 0 },
    squashed_twice: { ...healthy, logit: sigmoid, logit_slope: (v) => sigmoid(v) * (1 - sigmoid(v)) },
    mean_over_pixels: { ...healthy, share: (pixels) => 1 / pixels },
    kl_sign: { ...healthy, kl_weight: (beta) => -beta, kl_reported: -1 },
    beta_ignored: { ...healthy, kl_weight: () => 1 },
    no_kl: { ...healthy, kl_weight: () => 0, kl_reported: 0 },
  };

  // ---- dense layers on a minibatch, row by row: X is n rows of `columns`, W `rows` by `columns` ----

  function dense(X, W, b, n) {
    const rows = b.length, columns = W.length / rows, Y = new Float64Array(n * rows);
    let k = 0;
    for (; k + 3 < n; k += 4) { // four images share each weight that is read
      const k0 = k * columns, k1 = k0 + columns, k2 = k1 + columns, k3 = k2 + columns;
      for (let r = 0; r < rows; r++) {
        let a0 = b[r], a1 = a0, a2 = a0, a3 = a0;
        for (let c = 0, at = r * columns; c < columns; c++, at++) {
          const w = W[at];
          a0 += w * X[k0 + c], a1 += w * X[k1 + c], a2 += w * X[k2 + c], a3 += w * X[k3 + c];
        }
        const y = k * rows + r;
        Y[y] = a0, Y[y + rows] = a1, Y[y + 2 * rows] = a2, Y[y + 3 * rows] = a3;
      }
    }
    for (; k < n; k++) for (let r = 0; r < rows; r++) {
      let a = b[r];
      for (let c = 0, at = r * columns; c < columns; c++, at++) a += W[at] * X[k * columns + c];
      Y[k * rows + r] = a;
    }
    return Y;
  }

  // Y += g0 X0 + g1 X1 + g2 X2 + g3 X3 for the rows of X that begin at x, x + columns, ...: each cell of Y is read once for four
  function add_rows(Y, y, g, gs, stride, X, x, columns) {
    const g0 = g[gs], g1 = g[gs + stride], g2 = g[gs + 2 * stride], g3 = g[gs + 3 * stride];
    if (g0 === 0 && g1 === 0 && g2 === 0 && g3 === 0) return;
    const x1 = x + columns, x2 = x1 + columns, x3 = x2 + columns;
    for (let c = 0; c < columns; c++) Y[y + c] += g0 * X[x + c] + g1 * X[x1 + c] + g2 * X[x2 + c] + g3 * X[x3 + c];
  }

  function add_row(Y, y, g, X, x, columns) {
    for (let c = 0; g !== 0 && c < columns; c++) Y[y + c] += g * X[x + c];
  }

  // from dY, the loss's gradient by a layer's output: that by its weights, its bias and, if asked for, its input
  function dense_backward(X, W, dY, n, input = true) {
    const rows = dY.length / n, columns = W.length / rows;
    const dW = new Float64Array(W.length), db = new Float64Array(rows), dX = input && new Float64Array(X.length);
    for (let k = 0; k < n; k++) for (let r = 0; r < rows; r++) db[r] += dY[k * rows + r];
    for (let r = 0; r < rows; r++) {
      let k = 0;
      for (; k + 3 < n; k += 4) add_rows(dW, r * columns, dY, k * rows + r, rows, X, k * columns, columns);
      for (; k < n; k++) add_row(dW, r * columns, dY[k * rows + r], X, k * columns, columns);
    }
    for (let k = 0; input && k < n; k++) {
      let r = 0;
      for (; r + 3 < rows; r += 4) add_rows(dX, k * columns, dY, k * rows + r, 1, W, r * columns, columns);
      for (; r < rows; r++) add_row(dX, k * columns, dY[k * rows + r], W, r * columns, columns);
    }
    return { dW, db, dX };
  }

  const relu = (X) => X.map((v) => (v > 0 ? v : 0));
  const relu_backward = (Y, dY) => (Y.forEach((v, i) => v > 0 || (dY[i] = 0)), dY);

  // ---- the model: vaelib's VAE(convs=[], hidden=(hidden,)), with its parameters' names and start ----

  function parameters({ pixels, hidden, latent_dim, seed }) {
    const { normal } = generator(seed), made = {};
    const layers = { encoder: [hidden, pixels, 2], to_mean: [latent_dim, hidden, 1], to_log_var: [latent_dim, hidden, 1],
      decoder: [hidden, latent_dim, 2], to_logits: [pixels, hidden, 1] };
    for (const [name, [rows, columns, variance]] of Object.entries(layers)) {
      const std = Math.sqrt(variance / columns);
      made[`${name}.weight`] = Float64Array.from({ length: rows * columns }, () => std * normal());
      made[`${name}.bias`] = new Float64Array(rows);
    }
    return made;
  }

  function encode(p, x, n) {
    const h = relu(dense(x, p["encoder.weight"], p["encoder.bias"], n));
    return { h, mean: dense(h, p["to_mean.weight"], p["to_mean.bias"], n), log_var: dense(h, p["to_log_var.weight"], p["to_log_var.bias"], n) };
  }

  function decode(p, z, n) {
    const h = relu(dense(z, p["decoder.weight"], p["decoder.bias"], n));
    return { h, logits: dense(h, p["to_logits.weight"], p["to_logits.bias"], n) };
  }

  function forward(p, x, noise, bug) {
    const n = noise.length / p["to_mean.bias"].length, encoded = encode(p, x, n), std = encoded.log_var.map(programs[bug].std);
    const z = encoded.mean.map((m, i) => m + std[i] * noise[i]); // eq:reparameterization
    return { n, encoded, std, z, decoded: decode(p, z, n) };
  }

  const kl_to_standard_normal = (mean, log_var) => 0.5 * (mean ** 2 + Math.exp(log_var) - 1 - log_var); // eq:kl-standard

  // distortion and rate of each image in nats
  function terms(p, x, noise, bug = "none") {
    const { n, encoded, decoded } = forward(p, x, noise, bug), { mean, log_var } = encoded;
    const program = programs[bug], pixels = x.length / n, latents = noise.length / n;
    const distortion = new Float64Array(n), rate = new Float64Array(n), share = program.share(pixels);
    for (let k = 0, i = 0; k < n; k++) for (let end = i + pixels; i < end; i++) {
      const v = program.logit(decoded.logits[i]);
      distortion[k] -= share * (x[i] * v - softplus(v));
    }
    for (let k = 0, i = 0; k < n; k++) for (let end = i + latents; i < end; i++)
      rate[k] += kl_to_standard_normal(mean[i], log_var[i]);
    return { encoded, distortion, rate };
  }

  // the gradient of the minibatch's mean of distortion + beta * rate, by parameter
  function gradients(p, x, noise, beta, bug = "none") {
    const program = programs[bug], { n, encoded, std, z, decoded } = forward(p, x, noise, bug);
    const share = program.share(x.length / n) / n, weight = program.kl_weight(beta) / n;
    const d_logits = decoded.logits.map((v, i) => share * (sigmoid(program.logit(v)) - x[i]) * program.logit_slope(v));
    const made = {};
    const back = (name, X, dY, input) => {
      const { dW, db, dX } = dense_backward(X, p[`${name}.weight`], dY, n, input);
      made[`${name}.weight`] = dW, made[`${name}.bias`] = db;
      return dX;
    };
    const dz = back("decoder", z, relu_backward(decoded.h, back("to_logits", decoded.h, d_logits)));
    const d_mean = encoded.mean.map((m, i) => program.passes * dz[i] + weight * m);
    const d_log_var = encoded.log_var.map((v, i) =>
      program.passes * dz[i] * noise[i] * program.std_slope(v, std[i]) + (weight / 2) * (Math.exp(v) - 1));
    const dh = back("to_mean", encoded.h, d_mean), other = back("to_log_var", encoded.h, d_log_var);
    back("encoder", x, relu_backward(encoded.h, dh.map((v, i) => v + other[i])), false);
    return made;
  }

  // Adam (Kingma & Ba 2015, algorithm 1), in place
  function adam(p) {
    const m = {}, v = {};
    let t = 0;
    for (const name in p) m[name] = new Float64Array(p[name].length), v[name] = new Float64Array(p[name].length);
    return (gradient, learning_rate) => {
      t++;
      const rate = (learning_rate * Math.sqrt(1 - 0.999 ** t)) / (1 - 0.9 ** t), small = 1e-8 * Math.sqrt(1 - 0.999 ** t);
      for (const name in p) {
        const w = p[name], g = gradient[name], first = m[name], second = v[name];
        for (let i = 0; i < w.length; i++) {
          first[i] += 0.1 * (g[i] - first[i]);
          second[i] += 0.001 * (g[i] * g[i] - second[i]);
          w[i] -= (rate * first[i]) / (Math.sqrt(second[i]) + small);
        }
      }
    };
  }

  // ---- the checks of chapter 6, each one line on a program; they say what came out and what should ----

  function checks(bug) {
    const program = programs[bug], near = (a, b) => Math.abs(a - b) < 1e-3 * Math.max(1, Math.abs(b));
    const distortion = (x, logits) => -x.reduce((all, v, i) =>
      all + program.share(x.length) * (v * program.logit(logits[i]) - softplus(program.logit(logits[i]))), 0);
    const x = [1, 0, 1, 1], logits = [0.3, -2, 1.5, -0.4], certain = x.map((v) => (v ? 40 : -40));
    const sigmas = [0.2, 1, 3], stds = sigmas.map((sigma) => program.std(Math.log(sigma ** 2)));
    const off = stds.map((std, i) => Math.abs(std - sigmas[i])), worst = off.indexOf(Math.max(...off));
    const small = { pixels: 4, hidden: 8, latent_dim: 2, seed: 1 };
    const reached = gradients(parameters(small), Float64Array.from(x), Float64Array.of(0.5, -0.5), 0, bug)["encoder.weight"];
    const rows = {
      pixels: [distortion([...x, ...x], [...logits, ...logits]) / distortion(x, logits), 2],
      certain: [distortion(x, certain), 0],
      noise: [stds[worst], sigmas[worst]],
      beta: [program.kl_weight(4), 4],
      reaches: [Math.sqrt(reached.reduce((all, g) => all + g * g, 0)), null],
    };
    return Object.entries(rows).map(([name, [result, wanted]]) => ({ name, result, wanted, passed: wanted === null ? result > 0 : near(result, wanted) }));
  }

  // ---- a training: everything but the widths and the seed may change between two steps ----

  function training({ images, test: test_images, pixels, hidden, latent_dim, seed, batch_size = 64 }) {
    const p = parameters({ pixels, hidden, latent_dim, seed }), update = adam(p), { normal, uniform } = generator(seed + 1000);
    const test = Float64Array.from(test_images), count = images.length / pixels, order = Array.from({ length: count }, (_, i) => i);
    const draw = (n) => Float64Array.from({ length: n }, normal), test_count = test.length / pixels;
    const test_noise = draw(test_count * latent_dim), batch = new Float64Array(batch_size * pixels);
    let next = count, steps = 0;

    function minibatch() {
      if (next + batch_size > count) {
        for (let i = count - 1; i > 0; i--) { // shuffled anew each epoch
          const j = Math.floor(uniform() * (i + 1));
          [order[i], order[j]] = [order[j], order[i]];
        }
        next = 0;
      }
      for (let k = 0; k < batch_size; k++, next++)
        batch.set(images.subarray(order[next] * pixels, (order[next] + 1) * pixels), k * pixels);
      return batch;
    }

    const mean = (values) => values.reduce((a, b) => a + b, 0) / values.length;
    return {
      parameters: p,
      step({ beta, learning_rate, bug }) {
        const x = minibatch();
        update(gradients(p, x, draw(batch_size * latent_dim), beta, bug), learning_rate);
        return ++steps;
      },
      // on the test digits: what this program reports, and what is true of its weights
      score(bug) {
        const own = terms(p, test, test_noise, bug), right = bug === "none" ? own : terms(p, test, test_noise);
        const nats = own.encoded.mean.map((m, i) => kl_to_standard_normal(m, own.encoded.log_var[i]));
        const kl = Array.from({ length: latent_dim }, (_, j) => mean(nats.filter((_, i) => i % latent_dim === j)));
        const distortion = mean(own.distortion), rate = mean(own.rate);
        return { steps, kl, mean: own.encoded.mean, distortion, rate,
          elbo: -distortion - programs[bug].kl_reported * rate, true_elbo: -mean(right.distortion) - mean(right.rate) };
      },
      pictures(z, bug) {
        const { logits } = decode(p, z, z.length / latent_dim);
        return Float32Array.from(logits, (v) => sigmoid(programs[bug].logit(v)));
      },
    };
  }

  return { bugs: Object.keys(programs), parameters, terms, gradients, adam, checks, training };
};

// A worker of its own for a training: made from text, because a page opened from a folder may load none.
live.training_in_worker = function () {
  const { generator, sigmoid, softplus } = vaelib;
  const trainer = `(${live.trainer})({ generator: ${generator}, sigmoid: ${sigmoid}, softplus: ${softplus} })`;
  return new Worker(URL.createObjectURL(new Blob([`(${live.training_worker})(${trainer})`], { type: "text/javascript" })));
};

// What the worker does: steps for 25 ms, then looks whether the reader has turned something.
live.training_worker = function (trainer) {
  let run, setup, options, running = false, seconds = 0, told = 0;

  function tell() {
    const score = run.score(options.bug);
    told = performance.now();
    postMessage({ kind: "score", run: setup.run, seconds, ...score });
    return score;
  }

  function steps() {
    if (!running) return;
    const start = performance.now();
    let last;
    do last = run.step(options);
    while (performance.now() - start < 25 && last !== options.until);
    seconds += (performance.now() - start) / 1000;
    const ends = last === options.until;
    const left = (ends || performance.now() - told > 400) && !(tell().rate < 1e6); // nats; the weights are gone for good
    if (ends || left) running = false, postMessage({ kind: "ended", run: setup.run, left });
    else setTimeout(steps);
  }

  onmessage = ({ data }) => {
    if (data.setup) {
      [setup, running, seconds] = [data.setup, false, 0];
      run = trainer.training(setup);
    }
    if (data.options) options = data.options;
    if (data.tell) tell();
    if (data.decode) postMessage({ kind: data.decode.kind, run: setup.run, pixels: run.pictures(data.decode.z, options.bug) });
    if (data.running !== undefined && data.running !== running) {
      running = data.running;
      if (running) steps();
      else tell(); // the last steps too
    }
    if (data.step) {
      run.step(options);
      tell();
    }
  };
};
