// A configuration's keys as vaelib reads them: what each may be, how they fit together, what they build.
// The sentences that name what is allowed come from vaelib's schema; what is refused here, vaelib refuses.
"use strict";

live.settings = function (schema, file) {
  const { sections, datasets, schedules, without_beta, sigma_words, sprite_sizes, most_weights } = schema;
  class Mistake extends Error {}
  const refuse = () => { throw new RangeError(); };
  const mistake = (section, key, text, problem) => new Mistake(`${file}: [${section}] ${key} = ${text.split(/\s+/).join(" ")}: ${problem}`);
  const missing = (section, key, what) => new Mistake(`${file}: [${section}] ${key} is missing: ${what}`);

  // ---- values as Python writes them: whole numbers, other numbers, lists and tuples of them ----

  const INT = /^[+-]?(0(_?0)*|[1-9](_?\d)*|0x[\da-f]+|0b[01]+|0o[0-7]+)$/i, FLOAT = /^[+-]?((\d(_?\d)*)?\.\d(_?\d)*|\d(_?\d)*\.?)(e[+-]?\d+)?$/i;
  const number = (word) => Number(word.replace(/^[+-]/, "").replaceAll("_", "")) * (word[0] === "-" ? -1 : 1);

  function literal(text) {
    const words = text.match(/[[\](),]|[^\s[\](),]+/g) ?? refuse();
    let at = 0;
    const next = (word) => words[at] === word && (at++, true);
    function value() {
      for (const [open, close] of ["[]", "()"]) {
        if (!next(open)) continue;
        const [list, tuple] = items(close);
        return open === "(" && list.length === 1 && !tuple ? list[0] : list;
      }
      const word = words[at++] ?? refuse();
      if (INT.test(word)) return number(word);
      if (FLOAT.test(word)) return { float: number(word) };
      refuse();
    }
    function items(close) { // up to the closing bracket, and whether a comma was among them
      const list = [];
      let comma = false;
      while (!next(close)) {
        if (list.length && !comma) refuse();
        list.push(value());
        const more = next(",");
        comma ||= more;
        if (!more && (next(close) || refuse())) break;
        if (more && next(close)) break;
      }
      return [list, comma];
    }
    words.push("end");
    const [list, comma] = items("end");
    return list.length === 1 && !comma ? list[0] : list.length ? list : refuse();
  }

  const integer = (least, most = 2 ** 31 - 1) => (v) => (Number.isInteger(v) && v >= least && v <= most ? v : refuse());
  const real = (v) => (v?.float ?? v), notNegative = (v) => (Number.isFinite(real(v)) && real(v) >= 0 ? real(v) : refuse());
  const positive = (v) => notNegative(v) || refuse();
  const each = (parse) => (v) => (Array.isArray(v) ? v.map(parse) : refuse());
  const pair = (least) => (v) => {
    const both = Number.isInteger(v) ? [v, v] : v;
    return Array.isArray(both) && both.length === 2 ? both.map(integer(least)) : refuse();
  };
  const plain = (name) => name.toLowerCase().replace(/[-_]/g, "");
  const oneOf = (names) => (text) => names.find((name) => plain(name) === plain(text)) ?? refuse();
  const written = (parse) => (text) => parse(literal(text));

  function schedule(text) {
    const words = text.split(/\s+/), tc = words[0] === "tc", [kind = "constant", ...numbers] = words.slice(tc ? 1 : 0);
    const names = Object.hasOwn(schedules, kind) ? schedules[kind] : refuse();
    if (!text || numbers.length !== names.length || (tc && without_beta.includes(kind))) refuse();
    const parsers = { STEPS: integer(1), PERIOD: integer(2) };
    numbers.forEach((word, i) => written(parsers[names[i]] ?? (kind === "falling" ? positive : notNegative))(word));
    return { kind, tc };
  }

  const parsers = {
    configuration: { dataset: oneOf(Object.keys(datasets)), path: (text) => text || refuse(), image_size: written(integer(1, 4096)),
      colour: (text) => ({ yes: true, no: false })[text.toLowerCase()] ?? refuse() },
    architecture: { conv_channels: written((v) => each(integer(1))(Number.isInteger(v) ? [v] : v)), conv_kernel_sizes: written(each(pair(1))),
      conv_strides: written(each(pair(1))), conv_paddings: written(each(pair(0))), z_dimension: written(integer(1)),
      hidden: written((v) => each(integer(1))(Number.isInteger(v) ? [v] : v)), likelihood: oneOf(schema.likelihoods),
      sigma: (text) => (Object.values(sigma_words).flat().includes(text) ? text : written(positive)(text)) },
    hyperparameters: { epochs: written(integer(1)), steps: written(integer(1)), batch_size: written(integer(1)),
      learning_rate: written(positive), beta: written(notNegative), schedule },
  };

  // ---- the whole ----

  function float(v) { // as Python writes it
    if (typeof v === "string") return v;
    const small = v !== 0 && (Math.abs(v) < 1e-4 || Math.abs(v) >= 1e16);
    return small ? v.toExponential().replace(/e([+-])(\d)$/, "e$10$2") : Number.isInteger(v) ? `${v}.0` : String(v);
  }
  const list = (pairs) => `[${pairs.map((p) => (Array.isArray(p) ? `(${p.join(", ")})` : p)).join(", ")}]`;

  function parsed(given) {
    const values = {};
    for (const [section, keys] of Object.entries(parsers)) {
      for (const key of Object.keys(keys).filter((key) => key in given)) {
        const text = given[key].replace(/(^|\s)#.*/, "").trim();
        try {
          values[key] = keys[key](text);
        } catch (error) {
          if (!(error instanceof RangeError)) throw error;
          throw mistake(section, key, text, `must be ${sections[section][key]}`);
        }
      }
      for (const key of schema.needed[section]) if (!(key in values)) throw missing(section, key, sections[section][key]);
    }
    return values;
  }

  function fits(v) { // vaelib.experiments.config._resolved
    const { stream, options, image_shape } = datasets[v.dataset];
    for (const [key, text] of [["image_size", String(v.image_size)], ["colour", v.colour ? "yes" : "no"]])
      if (key in v && !(key in options)) throw mistake("configuration", key, text, `${v.dataset} leaves no choice here; remove the key`);
    if (stream && "image_size" in v && !sprite_sizes.includes(v.image_size))
      throw mistake("configuration", "image_size", String(v.image_size), `${v.dataset} come in ${sprite_sizes.join(" or ")}`);
    if (v.dataset === "folder" && !("path" in v)) throw missing("configuration", "path", "the folder of your images");
    const [needed, other] = stream ? ["steps", "epochs"] : ["epochs", "steps"];
    if (other in v) throw mistake("hyperparameters", other, String(v[other]), `training on ${v.dataset} is measured in ${needed}`);
    if (!(needed in v)) throw missing("hyperparameters", needed, "a whole number, at least 1");
    const { kind } = v.schedule ?? { kind: "constant" };
    if (without_beta.includes(kind) && "beta" in v)
      throw mistake("hyperparameters", "beta", float(v.beta), `schedule = ${kind} has its own weight; remove one of them`);
    if (kind === "falling" && v.beta === 0) throw mistake("hyperparameters", "beta", float(0), "schedule = falling goes by a factor; must be above 0");

    const size = v.image_size ?? options.image_size, colour = v.colour ?? options.colour;
    const shape = image_shape ?? [colour ? 3 : 1, size, size];
    const likelihood = v.likelihood ?? (shape[0] === 1 && v.dataset !== "folder" ? "bernoulli" : "gaussian");
    const layers = v.conv_channels?.length ?? 0, lists = { conv_kernel_sizes: [4, 4], conv_strides: [2, 2], conv_paddings: [1, 1] };
    for (const [key, usual] of Object.entries(lists)) {
      lists[key] = v[key] ?? Array(layers).fill(usual);
      if (lists[key].length !== layers)
        throw mistake("architecture", key, list(v[key]), `has ${v[key].length} for ${layers} convolution${layers === 1 ? "" : "s"}; give ${layers}`);
    }
    const words = sigma_words[likelihood] ?? [];
    if ("sigma" in v && !words.length) throw mistake("architecture", "sigma", float(v.sigma), `the likelihood ${likelihood} has none; remove the key`);
    if (typeof v.sigma === "string" && !words.includes(v.sigma)) {
      const has = Object.keys(sigma_words).filter((name) => sigma_words[name].includes(v.sigma));
      throw mistake("architecture", "sigma", v.sigma, `only the likelihood ${has.join(", ")} has this; must be ${words.join(", ")} or above 0`);
    }
    if (!("beta" in v) && !without_beta.includes(kind))
      throw new Mistake(`${file}: [hyperparameters] beta is missing: B-VAE needs it, a number at least 0`);
    const learnt = words.length && (v.sigma ?? "learnt") === "learnt";
    return { shape, convs: (v.conv_channels ?? []).map((channels, i) => ({ channels, kernel: lists.conv_kernel_sizes[i], stride: lists.conv_strides[i], padding: lists.conv_paddings[i] })),
      kernels: list(lists.conv_kernel_sizes), hidden: v.hidden ?? [], latents: v.z_dimension, learnt };
  }

  // every layer as [what it is, what it leaves, its weights]; sizes by eq:conv-size
  function layers({ shape, convs, kernels, hidden, latents, learnt }) {
    const by = (pair) => pair.join("x"), times = (all) => all.reduce((a, b) => a * b, 1);
    const sizes = [shape.slice(1)], channels = [shape[0], ...convs.map((conv) => conv.channels)];
    convs.forEach(({ kernel, stride, padding }, i) => {
      const room = sizes[i].map((n, axis) => n + 2 * padding[axis]);
      if (kernel.some((k, axis) => k > room[axis])) {
        const needs = sizes[i].map((n, axis) => Math.max(padding[axis], Math.ceil((kernel[axis] - n) / 2)));
        throw mistake("architecture", "conv_kernel_sizes", kernels, `convolution ${i + 1} of ${convs.length}: kernel ${by(kernel)} with padding ${by(padding)} ` +
          `does not fit its ${by(sizes[i])} input: a kernel of at most ${by(room)} would, or a padding of at least ${by(needs)}`);
      }
      sizes.push(sizes[i].map((n, axis) => vaelib.convSize(n, kernel[axis], stride[axis], padding[axis])));
    });
    const across = (i) => channels[i] * channels[i + 1] * times(convs[i].kernel), at = (i) => [channels[i], ...sizes[i]];
    const widths = [times(at(convs.length)), ...hidden], dense = (from, to) => from * to + to;
    const encoder = [...convs.map((conv, i) => ["convolution", at(i + 1), across(i) + channels[i + 1]]), ...hidden.map((to, i) => ["dense", [to], dense(widths[i], to)])];
    const heads = ["mean", "log-variance"].map((name) => [name, [latents], dense(widths.at(-1), latents)]);
    const back = [latents, ...[...widths].reverse()];
    const decoder = [...back.slice(1).map((to, i) => ["dense", [to], dense(back[i], to)]),
      ...convs.map((conv, i) => ["transposed convolution", at(i), across(i) + channels[i]]).reverse()];
    const all = [...encoder, ...heads, ...decoder, ...(learnt ? [["scale of the pixels", [1], 1]] : [])];
    const weights = all.reduce((sum, [, , own]) => sum + own, 0), counted = (n) => n.toLocaleString("en-US");
    if (weights > most_weights)
      throw new Mistake(`${file}: [architecture] has ${counted(weights)} weights, more than ${counted(most_weights)}; take fewer channels, or strides of 2`);
    return { shape, all, weights };
  }

  const text = (given) => Object.entries(parsers).map(([section, keys]) =>
    `[${section}]\n` + Object.keys(keys).filter((key) => key in given).map((key) => `${key} = ${given[key]}\n`).join("")).join("\n");

  function check(given) {
    try {
      return layers(fits(parsed(given)));
    } catch (error) {
      if (error instanceof Mistake) return { mistake: error.message };
      throw error;
    }
  }
  return { check, text, parsers };
};
