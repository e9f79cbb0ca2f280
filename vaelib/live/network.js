// vaelib's networks in the page: reads the shipped safetensors, runs them layer by layer.
// Names, shapes and formulas are vaelib's: models.py for the layers, losses.py for the nats.
"use strict";

(function () {
  function bytesOf(base64) {
    const text = atob(base64), bytes = new Uint8Array(text.length);
    for (let i = 0; i < bytes.length; i++) bytes[i] = text.charCodeAt(i);
    return bytes;
  }

  // numbers packed eight to a byte, the first in the highest bit, as numpy packs them
  function bitsOf(base64) {
    const packed = bytesOf(base64);
    return Uint8Array.from({ length: 8 * packed.length }, (_, i) => (packed[i >> 3] >> (7 - (i & 7))) & 1);
  }

  function fromHalf(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, fraction = bits & 1023;
    if (exponent === 0) return sign * fraction * 2 ** -24;
    if (exponent === 31) return fraction ? NaN : sign * Infinity;
    return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  }

  // a safetensors file: 8 bytes of length, a JSON header of that length, then the raw numbers
  function safetensors(base64) {
    const bytes = bytesOf(base64), view = new DataView(bytes.buffer);
    const length = Number(view.getBigUint64(0, true));
    const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
    const metadata = header.__metadata__, tensors = {};
    delete header.__metadata__;
    for (const [name, { dtype, shape, data_offsets: [begin, end] }] of Object.entries(header)) {
      const read = { F16: Uint16Array, F32: Float32Array }[dtype];
      if (!read) throw new Error(`${name}: weights of type ${dtype} are not read here`);
      const data = new read(bytes.slice(8 + length + begin, 8 + length + end).buffer);
      tensors[name] = { data: dtype === "F16" ? Float32Array.from(data, fromHalf) : data, shape };
    }
    return { metadata, tensors };
  }

  // ---- layers: each maps { data, shape } to another ----

  const activations = { relu: (v) => (v > 0 ? v : 0), tanh: Math.tanh };
  const activation = (name) => (x) => ({ data: x.data.map(activations[name]), shape: x.shape });
  const reshape = (shape) => (x) => ({ data: x.data, shape });

  function dense(weight, bias) {
    const [rows, columns] = weight.shape;
    return ({ data: x }) => {
      const y = Float64Array.from(bias.data);
      for (let r = 0, at = 0; r < rows; r++) for (let c = 0; c < columns; c++, at++) y[r] += weight.data[at] * x[c];
      return { data: y, shape: [rows] };
    };
  }

  // where a kernel's cell meets small cells t on its large side: large = stride * t + offset, kept inside the line
  function span(offset, stride, small, large) {
    const first = Math.max(0, Math.ceil(-offset / stride));
    return [first, Math.min(small - 1, Math.floor((large - 1 - offset) / stride))];
  }

  // visits every (small cell, large cell, weight) of a convolution; its transpose goes through the same ones backwards
  function eachWeight(weight, small, large, [sy, sx], [py, px], visit) {
    const [outer, inner, ky, kx] = weight.shape, [hs, ws] = small, [hl, wl] = large;
    for (let o = 0, at = 0; o < outer; o++)
      for (let i = 0; i < inner; i++)
        for (let a = 0; a < ky; a++)
          for (let b = 0; b < kx; b++, at++) {
            const [y0, y1] = span(a - py, sy, hs, hl), [x0, x1] = span(b - px, sx, ws, wl);
            for (let y = y0; y <= y1; y++) {
              const s = (o * hs + y) * ws, l = (i * hl + sy * y + a - py) * wl + b - px;
              visit(s + x0, l + sx * x0, x1 - x0 + 1, sx, weight.data[at]);
            }
          }
  }

  function filled(bias, [h, w]) {
    const y = new Float64Array(bias.data.length * h * w);
    bias.data.forEach((b, channel) => y.fill(b, channel * h * w, (channel + 1) * h * w));
    return { data: y, shape: [bias.data.length, h, w] };
  }

  function conv2d(weight, bias, stride, padding, inSize, outSize) {
    return ({ data: x }) => {
      const y = filled(bias, outSize), out = y.data;
      eachWeight(weight, outSize, inSize, stride, padding, (s, l, n, step, w) => {
        for (let i = 0; i < n; i++, l += step) out[s + i] += w * x[l];
      });
      return y;
    };
  }

  // the size comes back with its output padding: outSize is the mirrored convolution's input
  function convTranspose2d(weight, bias, stride, padding, inSize, outSize) {
    return ({ data: x }) => {
      const y = filled(bias, outSize), out = y.data;
      eachWeight(weight, inSize, outSize, stride, padding, (s, l, n, step, w) => {
        for (let i = 0; i < n; i++, l += step) out[l] += w * x[s + i];
      });
      return y;
    };
  }

  const convSize = (h, k, s, p) => Math.floor((h + 2 * p - k) / s) + 1; // eq:conv-size
  const outputPadding = (h, k, s, p) => (h + 2 * p - k) % s; // eq:deconv-size

  // ---- the model, layer by layer in the order of models.py, whose numbers are the weights' names ----

  function network(base64) {
    const { metadata, tensors } = safetensors(base64), config = JSON.parse(metadata.config);
    const { image_shape, convs, hidden, latent_dim, latent_map } = config, act = () => activation(config.activation);
    const sizes = [image_shape.slice(1)];
    for (const c of convs) sizes.push(sizes.at(-1).map((h, i) => convSize(h, c.kernel_size[i], c.stride[i], c.padding[i])));
    const features = [convs.length ? convs.at(-1).channels : image_shape[0], ...sizes.at(-1)];
    const grid = features.slice(1), widths = [features.reduce((a, b) => a * b), ...hidden];
    const weights = (name) => [tensors[`${name}.weight`], tensors[`${name}.bias`]];

    const encoder = [], decoder = [];
    convs.forEach((c, i) => encoder.push(
      conv2d(...weights(`encoder.${encoder.length}`), c.stride, c.padding, sizes[i], sizes[i + 1]), act()));
    const onGrid = (name) => conv2d(...weights(name), [1, 1], [0, 0], grid, grid); // 1 x 1: places stay
    if (latent_map) {
      decoder.push(reshape([latent_dim / grid[0] / grid[1], ...grid]));
      decoder.push(onGrid("decoder.1"), act());
    } else {
      encoder.push(reshape([widths[0]]));
      for (const _ of hidden) encoder.push(dense(...weights(`encoder.${encoder.length}`)), act());
      for (const _ of widths) decoder.push(dense(...weights(`decoder.${decoder.length}`)), act());
      if (!convs.length) decoder.pop();
      decoder.push(reshape(features));
    }
    for (let i = convs.length - 1; i >= 0; i--) decoder.push(
      convTranspose2d(...weights(`decoder.${decoder.length}`), convs[i].stride, convs[i].padding, sizes[i + 1], sizes[i]), act());
    if (convs.length) decoder.pop();
    const head = latent_map ? onGrid : (name) => dense(...weights(name));
    const toMean = head("to_mean"), toLogVar = head("to_log_var");
    const through = (layers, data) => layers.reduce((x, layer) => layer(x), { data: Float64Array.from(data) });

    return {
      config, latent_dim,
      encode(x) {
        const h = through(encoder, x);
        return { mean: toMean(h).data, log_var: toLogVar(h).data };
      },
      decode: (z) => through(decoder, z).data,
      expected_image: (output) => output.map(expected[config.likelihood]),
    };
  }

  const sigmoid = (v) => 1 / (1 + Math.exp(-v));
  const clamp = (v) => Math.min(1, Math.max(0, v));
  const expected = {
    bernoulli: sigmoid,
    "continuous-bernoulli": (v) => (Math.abs(v) < 0.1 ? 0.5 + v / 12 - v ** 3 / 720 : 1 / -Math.expm1(-v) - 1 / v),
    gaussian: clamp,
    "discretised-logistic": clamp,
  };

  // ---- nats ----

  const softplus = (v) => Math.max(v, 0) + Math.log1p(Math.exp(-Math.abs(v)));
  const sum = (values) => values.reduce((a, b) => a + b, 0);
  function logsumexp(values) {
    const top = Math.max(...values);
    return top + Math.log(sum(values.map((v) => Math.exp(v - top))));
  }

  // log p(x | z) of eq:decoder from logits
  const bernoulli_log_likelihood = (x, logits) => sum(logits.map((v, i) => x[i] * v - softplus(v)));
  // what a draw from these logits costs on average: the pixels' entropies
  const bernoulli_entropy = (logits) => sum(logits.map((v) => softplus(v) - v * sigmoid(v)));
  // KL to N(0, 1) of each latent, eq:kl-standard
  const kl_per_dimension = (mean, log_var) => mean.map((m, j) => 0.5 * (m * m + Math.exp(log_var[j]) - 1 - log_var[j]));
  const normal_log_density = (z, mean, log_var) => sum(z.map((v, j) =>
    -0.5 * (Math.log(2 * Math.PI) + log_var[j] + (v - mean[j]) ** 2 / Math.exp(log_var[j]))));

  // ---- chance: a Weyl sequence through MurmurHash3's finaliser; normals by Box and Muller ----

  function generator(seed) {
    let state = Math.imul(seed + 1, 0x85ebca6b);
    const uniform = () => {
      let h = (state = (state + 0x9e3779b9) | 0);
      h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
      h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
      return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
    };
    const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
    return { uniform, normal, bernoulli: (p) => (uniform() < p ? 1 : 0) };
  }

  const models = {};
  const model = (name) => (models[name] ??= network(window.VAELIB_MODELS[name]));

  window.vaelib = {
    model, safetensors, generator, bytesOf, bitsOf, sum, logsumexp, convSize, outputPadding, sigmoid, softplus,
    bernoulli_log_likelihood, bernoulli_entropy, kl_per_dimension, normal_log_density,
  };
})();

// a class's colour on the page: black is the colour of its text
live.ink = (colour) => (colour === "#000000" ? "var(--pst-color-text-base)" : colour);

// 500 real digits of MNIST, binarised, with their labels and their codes by mnist-z2
live.digits = function () {
  const { labels, bits, codes, colours } = window.VAELIB_DATA.digits;
  const images = vaelib.bitsOf(bits), numbers = new Float32Array(vaelib.bytesOf(codes).buffer);
  const all = [...labels].map((_, i) => [numbers[2 * i], numbers[2 * i + 1]]);
  const ink = colours.map(live.ink);
  const median = (values) => values.sort((a, b) => a - b)[values.length >> 1];
  return {
    labels, codes: all, colours: ink,
    colour: (i) => ink[labels[i]],
    middle: (digit) => [0, 1].map((j) => median(all.filter((_, i) => Number(labels[i]) === digit).map((z) => z[j]))),
    pixels: (i) => [...images.subarray(784 * i, 784 * (i + 1))],
  };
};
