// A configuration, checked: a form writes the file; every layer's size and weights, or vaelib's own sentence.
"use strict";

live.figure("configuration", ["settings", "configuration-schema"], function (stage) {
  const schema = window.VAELIB_DATA["configuration-schema"], { check, text, parsers } = live.settings(schema, "my.cfg");
  const begin = {
    dataset: "mnist-5k", path: "", image_size: "", colour: "", conv_channels: "[16, 32]", conv_kernel_sizes: "", conv_strides: "",
    conv_paddings: "", z_dimension: "8", hidden: "[128]", likelihood: "", sigma: "", epochs: "15", steps: "", batch_size: "100",
    learning_rate: "2e-3", beta: "2", schedule: "warm-up 300",
  };
  const mistakes = { // each a word or two that people really write
    kernel: ["a kernel larger than its image", { conv_channels: "[16, 32, 64, 128]", conv_kernel_sizes: "[(7, 7), (7, 7), (7, 7), (7, 7)]" }],
    lists: ["two convolutions, three strides", { conv_strides: "[(2, 2), (2, 2), (1, 1)]" }],
    word: ["eight latents, in a word", { z_dimension: "eight" }],
    schedule: ["a warm-up without its length", { schedule: "warm-up" }],
    sigma: ["a sigma for black and white pixels", { sigma: "0.1" }],
    epochs: ["epochs of sprites, which never end", { dataset: "sprites" }],
    memory: ["a dense layer of a million units", { hidden: "[1000000]" }],
  };
  const state = { values: { ...begin } };

  const form = stage.group("form"), right = stage.group("right");
  const fields = {};
  for (const [section, keys] of Object.entries(parsers)) {
    const box = stage.add(stage.make("fieldset", { class: "live-section" }, stage.make("legend", {}, `[${section}]`)), form);
    for (const key of Object.keys(keys)) fields[key] = field(key, box);
  }

  const options = { none: "none", ...Object.fromEntries(Object.entries(mistakes).map(([name, [words]]) => [name, words])) };
  const chosen = stage.menu("Make a mistake:", options, right, (name) => change({ values: { ...begin, ...mistakes[name]?.[1] } }));
  const file = stage.add(stage.make("pre", { class: "live-file", tabindex: 0, role: "group", "aria-label": "my.cfg" }), right);
  const refusal = stage.add(stage.make("p", { class: "live-refusal" }), right);
  const numbers = stage.group("numbers", right);
  const table = stage.add(stage.make("table", { class: "live-layers" }), stage.group("wide"));
  const weights = stage.number("parameters in all", numbers, "", { digits: 0 });
  const rate = stage.number("numbers in an image, for each latent", numbers, "", { digits: 1 });

  function field(key, box) {
    const id = `live-configuration-${key}`;
    const names = { dataset: Object.values(schema.datasets).map((data) => data.display_name), likelihood: ["", ...schema.likelihoods], colour: ["", "yes", "no"] }[key];
    const input = names ? stage.make("select", { id }, ...names.map((name) => stage.make("option", { value: name }, name || "(default)")))
      : stage.make("input", { id, type: "text", spellcheck: "false", autocomplete: "off", autocapitalize: "off" });
    input.addEventListener(names ? "change" : "input", () => change({ values: { ...state.values, [key]: input.value } }));
    stage.add(stage.make("p", { class: "live-field" }, stage.make("label", { for: id }, key), input), box);
    return input;
  }

  function change(part) {
    Object.assign(state, part);
    for (const [key, input] of Object.entries(fields)) if (input.value !== (state.values[key] ?? "")) input.value = state.values[key] ?? "";
    const given = Object.fromEntries(Object.entries(state.values).filter(([, value]) => value.trim()));
    const found = check(given), name = Object.keys(mistakes).find((name) => same({ ...begin, ...mistakes[name][1] }, state.values));
    chosen.set(name ?? "none");
    file.textContent = text(given);
    refusal.textContent = found.mistake ?? "";
    for (const part of [table, numbers]) part.hidden = Boolean(found.mistake);
    if (!found.mistake) show(found);
    stage.say(found.mistake ?? `The model has ${weights.element.textContent} parameters in ${found.all.length} layers.`);
  }

  function show({ shape, all, weights: sum }) {
    const row = (cells, tag) => stage.make("tr", {}, ...cells.map((words) => stage.make(tag, {}, words)));
    const counted = (n) => n.toLocaleString("en-US");
    const rows = [["image", shape, 0], ...all].map(([name, size, own]) => row([name, size.join(" × "), counted(own)], "td"));
    table.replaceChildren(stage.make("thead", {}, row(["layer", "leaves", "parameters"], "th")), stage.make("tbody", {}, ...rows));
    weights.set(sum);
    rate.set(shape.reduce((a, b) => a * b) / all.find(([name]) => name === "mean")[1][0]);
  }

  const same = (a, b) => Object.keys(a).every((key) => a[key] === (b[key] ?? ""));

  change({});
  return { get: () => structuredClone(state), set: change };
});
