// JupyterLab reads single letters as commands (`b` adds a cell) wherever the focus is not in a text. In a widget they
// are meant for its buttons, boxes and texts, so they end here; Ctrl+S and its like still reach JupyterLab.
export function keepKeys(el) {
  el.addEventListener("keydown", (event) => {
    if (!event.ctrlKey && !event.metaKey) event.stopPropagation();
  });
}
