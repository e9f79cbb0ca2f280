// Code, output and tables that are wider than their place scroll inside themselves: the keyboard
// reaches them, and a screen reader says what they are. (MathJax does so for its equations.)
addEventListener("load", () => {
  const WIDE = ".bd-article :is(pre, .cell_output > .output, .pst-scrollable-table-container)";

  function name(element) {
    const caption = element.querySelector("caption");
    if (caption) return caption.textContent.trim();
    if (element.querySelector("table")) return "Table";
    return element.closest(".cell_output") ? "Output" : "Code";
  }

  function mark(elements) {
    // all is measured before anything is changed: one layout, not one for each
    const wide = elements.map((element) => element.scrollWidth > element.clientWidth);
    elements.forEach((element, i) => {
      const attributes = { tabindex: "0", role: "group", "aria-label": name(element) };
      for (const [key, value] of Object.entries(attributes))
        wide[i] ? element.setAttribute(key, value) : element.removeAttribute(key);
    });
  }

  const sizes = new ResizeObserver((seen) => mark(seen.map((s) => s.target)));
  const all = [...document.querySelectorAll(WIDE)];
  const markAll = () => mark(all); // what is folded away is not observed
  markAll();
  addEventListener("resize", markAll);
  all.forEach((element) => sizes.observe(element));
});
