// Folded blocks: a link to an equation, box or figure in a folded block opens what is around it.
addEventListener("load", () => {
  const FOLDED = ".toggle-hidden, details:not([open])";

  function open() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (!target || !target.closest(FOLDED)) return;
    for (let block = target; block; block = block.parentElement)
      if (block.matches("details")) block.open = true;
      else if (block.matches(".toggle-hidden")) block.querySelector(":scope > .admonition-title").click();
    target.scrollIntoView();
  }

  // the contents' own folds have no name for a screen reader
  for (const fold of document.querySelectorAll("nav summary"))
    fold.setAttribute("aria-label", `Pages of ${fold.closest("li").querySelector("a").textContent.trim()}`);

  open();
  addEventListener("hashchange", open);
});
