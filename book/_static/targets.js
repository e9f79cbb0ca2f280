// A link to an equation, box or figure in a folded block opens what is folded around it.
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

  open();
  addEventListener("hashchange", open);
});
