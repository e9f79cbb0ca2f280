// What live figures share: plots, points that are dragged, images, bars, controls and numbers.
// A figure says what it shows; how that follows theme, keyboard, finger and screen reader stands here.
"use strict";

live.stage = function (element) {
  const name = element.dataset.live;
  const root = make("div", { class: "live-body" });
  const said = make("p", { class: "live-said", "aria-live": "polite" });
  let onScreen = false, waiting, ids = 0;
  const whenSeen = [];

  function make(tag, attributes = {}, ...children) {
    const svg = ["svg", "g", "circle", "ellipse", "line", "path", "polyline", "rect", "text", "tspan"].includes(tag);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
    put(made, attributes);
    made.append(...children);
    return made;
  }

  function put(target, attributes) {
    for (const [key, value] of Object.entries(attributes)) target.setAttribute(key, value);
    return target;
  }

  const add = (child, parent = root) => (parent.append(child), child);
  const group = (kinds, parent = root) => add(make("div", { class: kinds.replace(/\S+/g, "live-$&") }), parent);
  const freshId = () => `live-${name}-${++ids}`;

  // words with their formulas' letters slanted: a letter that stands alone is a variable
  const formula = (text) => text.split(/(?<![A-Za-z])([a-z])(?![A-Za-z])/).map((part, i) => (i % 2 ? make("i", {}, part) : part));

  // with the sign of minus, and none before a zero
  const fixed = (value, digits = 2) => value.toFixed(digits).replace(/^-(?=[0.]*$)/, "").replace("-", "−");

  // numbers are read by people rounded, and by tests whole: <data value="85.321">85.32</data>
  function number(label, parent, unit = "", { digits = 2, colour } = {}) {
    const data = make("data");
    const words = make("span", { class: "live-label" }, ...formula(label));
    const swatch = colour ? make("span", { class: "live-swatch", style: `background: var(--${colour})` }) : "";
    add(make("p", { class: "live-number" }, swatch, words, " ", data, unit && ` ${unit}`), parent);
    return {
      set(value) {
        data.value = value;
        data.textContent = fixed(value, digits);
      },
      element: data,
    };
  }

  // the reader who does not see the figure hears its numbers, once a movement has come to rest
  function say(text) {
    clearTimeout(waiting);
    waiting = setTimeout(() => (said.textContent = text), 500);
  }

  // ---- controls ----

  function slider(label, { min, max, step = 1, value, parent = root, show = String }, changed) {
    const id = freshId(), input = make("input", { type: "range", id, min, max, step });
    const output = make("output", { for: id });
    const set = (to) => {
      input.value = to;
      output.textContent = show(Number(input.value));
    };
    input.addEventListener("input", () => (set(input.value), changed(Number(input.value))));
    add(make("p", { class: "live-slider" }, make("label", { for: id }, ...formula(label)), input, output), parent);
    set(value);
    return { set, input };
  }

  // a few choices side by side, of which one holds
  function choice(label, options, parent, changed) {
    const group = freshId(), inputs = {};
    const set = (to) => (inputs[to].checked = true);
    const box = make("fieldset", { class: "live-choice" }, make("legend", {}, label));
    for (const [value, words] of Object.entries(options)) {
      inputs[value] = make("input", { type: "radio", name: group, value });
      inputs[value].addEventListener("change", () => changed(value));
      box.append(make("label", {}, inputs[value], ` ${words}`));
    }
    add(box, parent);
    return { set };
  }

  function menu(label, options, parent, changed) {
    const id = freshId(), select = make("select", { id });
    for (const [value, words] of Object.entries(options)) select.append(make("option", { value }, words));
    select.addEventListener("change", () => changed(select.value));
    add(make("p", { class: "live-menu" }, make("label", { for: id }, label), " ", select), parent);
    return { set: (to) => (select.value = to) };
  }

  function button(words, parent, pressed) {
    const made = add(make("button", { type: "button", class: "live-button" }, words), parent);
    made.addEventListener("click", pressed);
    return made;
  }

  // ---- pictures ----

  // pixels in [0, 1], 1 is white: one channel, or red, green and blue one after the other
  function paint(canvas, pixels) {
    const pen = canvas.getContext("2d"), box = pen.createImageData(canvas.width, canvas.height);
    const area = box.width * box.height, [g, b] = pixels.length === area ? [0, 0] : [area, 2 * area];
    for (let i = 0; i < area; i++) box.data.set([255 * pixels[i], 255 * pixels[i + g], 255 * pixels[i + b], 255], 4 * i);
    pen.putImageData(box, 0, 0);
  }

  function image(label, height, width, parent) {
    const canvas = make("canvas", { width, height, role: "img", "aria-label": label });
    add(make("div", { class: "live-image" }, canvas, make("p", { "aria-hidden": "true" }, label)), parent);
    return {
      canvas,
      draw: (pixels) => paint(canvas, pixels),
      label(words) {
        canvas.setAttribute("aria-label", words);
        canvas.nextElementSibling.textContent = words;
      },
    };
  }

  // bars of nats on one scale from zero, each a row of parts: [value, a colour of the style sheet]
  function bars(parent) {
    const box = add(make("div", { class: "live-bars", "aria-hidden": "true" }), parent);
    return {
      set(rows) {
        const most = Math.max(...rows.map((row) => row.reduce((all, [value]) => all + value, 0)));
        box.replaceChildren(...rows.map((row) => make("div", {}, ...row.map(([value, colour]) =>
          make("span", { style: `width: ${(100 * Math.max(0, value)) / most}%; background: var(--${colour})` })))));
      },
    };
  }

  // a plane with axes, square and centred unless its two ranges say otherwise; sx, sy map its numbers to the picture's;
  // `said` makes the number of a mark below it, such as 10 ** t
  function plane(label, { extent, across = [-extent, extent], upward = [-extent, extent], height = 400, names, parent = root, ticks = 1, rows = ticks, said = String,
    steps = [across, upward].map(([low, high]) => 0.05 * Math.ceil((high - low) / 7)) }) {
    const side = 400, edge = 34;
    const place = ([low, high], from, to) => (v) => from + ((v - low) / (high - low)) * (to - from);
    const sx = place(across, edge, side - 8), sy = place(upward, height - edge, 8);
    const svg = make("svg", { viewBox: `0 0 ${side} ${height}`, role: "group", "aria-label": label, class: "live-plane" });
    const axes = add(make("g", { class: "live-axes", "aria-hidden": "true" }), svg);
    const marks = ([low, high], step) => Array.from({ length: Math.floor(high / step) - Math.ceil(low / step) + 1 }, (_, i) => (Math.ceil(low / step) + i) * step);
    const words = (t) => String(Number(Number(t).toPrecision(6))).replace("-", "−");
    for (const t of marks(across, ticks)) {
      add(make("line", { x1: sx(t), x2: sx(t), y1: sy(upward[0]), y2: sy(upward[1]), class: t ? "" : "zero" }), axes);
      add(make("text", { x: sx(t), y: height - edge + 16, "text-anchor": "middle" }, words(said(t))), axes);
    }
    for (const t of marks(upward, rows)) {
      add(make("line", { x1: sx(across[0]), x2: sx(across[1]), y1: sy(t), y2: sy(t), class: t ? "" : "zero" }), axes);
      add(make("text", { x: edge - 6, y: sy(t) + 4, "text-anchor": "end" }, words(t)), axes);
    }
    const italic = (text) => make("tspan", /^\w\d*$/.test(text) ? { "font-style": "italic" } : {}, text[0]);
    const small = (text) => make("tspan", /^\d*$/.test(text.slice(1)) ? { dy: 3, "font-size": "10" } : {}, text.slice(1));
    add(make("text", { x: side - 14, y: height - 3, class: "name" }, italic(names[0]), small(names[0])), axes);
    add(make("text", { x: names[1].length > 2 ? edge + 4 : 2, y: 16, class: "name" }, italic(names[1]), small(names[1])), axes);
    add(svg, parent);

    const at = (event) => {
      const box = svg.getBoundingClientRect(), unit = side / box.width;
      const x = (event.clientX - box.left) * unit, y = (event.clientY - box.top) * unit;
      return [invert(sx, x), invert(sy, y)];
    };
    const invert = (s, v) => ((v - s(0)) / (s(1) - s(0)));
    const clamp = (v, [low, high]) => Math.min(high, Math.max(low, v));

    function points(list, kind = "live-points") {
      const layer = make("g", { class: kind, "aria-hidden": "true" });
      for (const { x, y, colour } of list) add(make("circle", { cx: sx(x), cy: sy(y), r: 3.2, fill: colour }), layer);
      return add(layer, svg);
    }

    function mark(x, y, text, colour) {
      const style = { x: sx(x), y: sy(y) + 6, "text-anchor": "middle", class: "live-mark", fill: colour, "aria-hidden": "true" };
      return add(make("text", style, text), svg);
    }

    function ellipse(kind) {
      const made = add(make("ellipse", { class: kind, "aria-hidden": "true" }), svg);
      const [wide, high] = [sx(1) - sx(0), sy(0) - sy(1)];
      return (x, y, rx, ry) => put(made, { cx: sx(x), cy: sy(y), rx: rx * wide, ry: ry * high });
    }

    // a line through points [x, y], or with "area" in its kind what lies between it and the axis; beyond the plane it is cut
    function path(kind) {
      const made = add(make("path", { class: kind, "aria-hidden": "true" }), svg), area = /area/.test(kind);
      const inside = (y) => sy(Math.min(upward[1], Math.max(upward[0], y))).toFixed(1);
      return (list) => {
        const d = list.map(([x, y], i) => `${i ? "L" : "M"}${sx(x).toFixed(1)} ${inside(y)}`).join("");
        put(made, { d: area && list.length ? `${d}L${sx(list.at(-1)[0]).toFixed(1)} ${inside(0)}L${sx(list[0][0]).toFixed(1)} ${inside(0)}Z` : d });
      };
    }

    // a point that mouse, finger and arrow keys move; a press anywhere on the plane brings it there
    function handle(label, moved, said = (x, y) => `${names[0]} ${x.toFixed(2)}, ${names[1]} ${y.toFixed(2)}`) {
      const dot = make("g", { class: "live-handle", tabindex: 0, role: "slider", "aria-label": label,
        "aria-roledescription": "point in a plane", "aria-valuemin": across[0], "aria-valuemax": across[1] },
      make("circle", { r: 26, class: "reach" }), make("circle", { r: 9, class: "dot" }));
      let [x, y] = [0, 0], dragging = false;
      const set = (toX, toY) => {
        [x, y] = [clamp(toX, across), clamp(toY, upward)];
        put(dot, { transform: `translate(${sx(x)} ${sy(y)})`, "aria-valuenow": x.toFixed(2), "aria-valuetext": said(x, y) });
      };
      const move = (toX, toY) => (set(toX, toY), moved(x, y));
      svg.addEventListener("pointerdown", (event) => {
        if (event.button) return;
        dragging = true;
        svg.setPointerCapture(event.pointerId);
        dot.focus({ preventScroll: true });
        move(...at(event));
        event.preventDefault();
      });
      svg.addEventListener("pointermove", (event) => dragging && move(...at(event)));
      for (const end of ["pointerup", "pointercancel"]) svg.addEventListener(end, () => (dragging = false));
      dot.addEventListener("keydown", (event) => {
        const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
        if (dx === undefined) return;
        const far = event.shiftKey ? 5 : 1;
        move(x + dx * far * steps[0], y + dy * far * steps[1]);
        event.preventDefault();
      });
      add(dot, svg);
      return { set, element: dot };
    }

    // a handle on the top of a normal density q: where it stands is the mean, how high it is the log_var, kept in a range
    function bell([least, most], moved) {
      const peak = Math.sqrt(2 * Math.PI);
      let now = 0;
      const top = handle("The top of q: its mean, and by its height its width",
        (mean, y) => moved(mean, Math.min(most, Math.max(least, -2 * Math.log(Math.max(y, 0.01) * peak)))),
        (mean) => `mean ${mean.toFixed(2)}, standard deviation ${Math.exp(now / 2).toFixed(2)}`);
      return (mean, log_var) => top.set(mean, Math.exp(-(now = log_var) / 2) / peak);
    }

    return { svg, sx, sy, at, points, words: mark, ellipse, path, handle, bell };
  }

  // curves over one axis, each named at its end: { name, colour, dashed, points: [[x, y], ...] };
  // the first few points may lie above the scale, which begins where they come down; what is below `least` lies on its edge
  function curves(label, across, upward, parent, least = -200) {
    const width = 400, height = 210, [west, east, north, south] = [40, 98, 16, 34];
    const svg = make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label, class: "live-curves" });
    add(svg, parent);
    const nice = (span) => [1, 2, 5, 10].map((m) => m * 10 ** Math.floor(Math.log10(span / 4))).find((step) => span / step <= 5);
    return {
      svg,
      set(lines) {
        const all = lines.flatMap((line) => line.points).filter(([, y]) => Number.isFinite(y));
        const right = Math.max(10, ...all.map(([x]) => x)), bottom = Math.max(least, Math.min(0, ...all.map(([, y]) => y)));
        const later = all.filter(([x]) => x >= right / 25), top = Math.max(1, ...(later.length ? later : all).map(([, y]) => y)), mark = nice(top - bottom), step = nice(right);
        const sx = (x) => west + (x / right) * (width - west - east);
        const sy = (y) => height - south - ((Math.min(top, Math.max(bottom, y)) - bottom) / (top - bottom)) * (height - north - south);
        const axes = make("g", { class: "live-axes" });
        for (let t = Math.ceil(bottom / mark) * mark; t <= top; t += mark) {
          add(make("line", { x1: west, x2: width - east, y1: sy(t), y2: sy(t), class: Math.abs(t) < mark / 2 ? "zero" : "" }), axes);
          add(make("text", { x: west - 6, y: sy(t) + 4, "text-anchor": "end" }, String(Number(t.toPrecision(6))).replace("-", "−")), axes);
        }
        for (let t = 0; t <= right; t += step) add(make("text", { x: sx(t), y: height - south + 16, "text-anchor": "middle" }, String(t)), axes);
        add(make("text", { x: (west + width - east) / 2, y: height - 3, "text-anchor": "middle" }, across), axes);
        add(make("text", { x: 4, y: 11 }, upward), axes);
        svg.replaceChildren(axes);
        let free = -Infinity; // names stand clear of one another
        for (const { name, colour, dashed, points } of lines.filter((line) => line.points.length).sort((a, b) => sy(a.points.at(-1)[1]) - sy(b.points.at(-1)[1]))) {
          const seen = points.filter(([, y]) => y <= top), style = `stroke: var(--${colour})`;
          if (!seen.length) continue;
          add(make("polyline", { points: seen.map(([x, y]) => `${sx(x).toFixed(1)},${sy(y).toFixed(1)}`).join(" "), style, class: dashed ? "dashed" : "" }), svg);
          free = Math.max(free + 13, Math.min(height - south, sy(seen.at(-1)[1])));
          add(make("text", { x: sx(seen.at(-1)[0]) + 5, y: free + 4, style: `fill: var(--${colour})` }, name), svg);
        }
      },
    };
  }

  // ---- time ----

  const still = matchMedia("(prefers-reduced-motion: reduce)"), watching = [];
  new IntersectionObserver((entries) => {
    onScreen = entries.at(-1).isIntersecting;
    watching.forEach((changed) => changed(onScreen));
    if (onScreen) whenSeen.splice(0).forEach((resume) => resume());
  }).observe(element);
  const seen = (changed) => watching.push(changed);

  // calls step(milliseconds since the last) while it returns true, and rests while the figure is out of sight
  function animate(step) {
    let last;
    const frame = (now) => {
      const more = step(last === undefined ? 0 : Math.min(100, now - last));
      last = now;
      if (!more) return;
      if (onScreen) requestAnimationFrame(frame);
      else whenSeen.push(() => ((last = undefined), requestAnimationFrame(frame)));
    };
    requestAnimationFrame(frame);
  }

  // the figure takes its still picture's place; it is in the page before it is drawn, so that it knows its width
  element.querySelector(".live-still").after(root);
  root.append(said);
  element.classList.add("live-open");

  return { element, make, put, add, group, fixed, number, say, slider, choice, menu, button, paint, image, bars, plane, curves, formula, seen, animate, still };
};
