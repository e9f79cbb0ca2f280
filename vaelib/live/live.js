// Live figures start when they come near: this script is all that a page with one loads at first.
"use strict";

(function () {
  const base = document.currentScript.src.replace(/[^/]*$/, "");
  const loaded = {}, figures = {};

  // classic scripts, because a page opened from a folder may load nothing else; a page in one file has them in it
  function load(name) {
    if (document.querySelector(`script[data-script="${name}"]`)) return;
    return (loaded[name] ??= new Promise((done, failed) => {
      const script = document.createElement("script");
      script.src = `${base}${name}.js`;
      script.onload = done;
      script.onerror = () => failed(new Error(`${script.src} cannot be loaded`));
      document.head.append(script);
    }));
  }

  async function start(element) {
    const name = element.dataset.live;
    await Promise.all(["network", "stage", name].map(load));
    const { needs, build } = figures[name];
    await Promise.all(needs.map(load));
    const { get, set, still } = build(live.stage(element));
    Object.assign(element, { get, set, still });
  }

  window.live = {
    load, // resolves once a figure has a model or data that it asks for on demand
    // a figure's script calls this once; build(stage) draws it and returns { get, set }, and still()
    // where its picture shows something later than its beginning
    figure(name, needs, build) {
      figures[name] = { needs, build };
    },
  };

  function watch() {
    const near = new IntersectionObserver((entries) => {
      for (const { target, isIntersecting } of entries) {
        if (!isIntersecting) continue;
        near.unobserve(target);
        start(target);
      }
    }, { rootMargin: "400px" });
    document.querySelectorAll("figure.live").forEach((element) => near.observe(element));
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", watch);
  else watch();
})();
