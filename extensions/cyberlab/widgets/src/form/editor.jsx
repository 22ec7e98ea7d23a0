// CodeMirror for the open file. Tab indents; Escape and then Tab leaves the editor, so that a keyboard is never caught.
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { python } from "@codemirror/lang-python";
import { HighlightStyle, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting } from "@codemirror/language";
import { EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, keymap, lineNumbers } from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { useEffect, useRef } from "preact/hooks";

const colour = (name) => `var(--jp-mirror-editor-${name}-color)`;
const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.operatorKeyword, tags.modifier], color: colour("keyword"), fontWeight: "600" },
  { tag: [tags.string, tags.special(tags.string)], color: colour("string") },
  { tag: [tags.number, tags.bool, tags.null], color: colour("number") },
  { tag: tags.comment, color: colour("comment"), fontStyle: "italic" },
  { tag: [tags.definition(tags.variableName), tags.function(tags.variableName), tags.className], color: colour("def") },
  { tag: tags.operator, color: colour("operator") },
]);
const look = EditorView.theme({
  "&": { color: "var(--cl-text)", backgroundColor: "var(--cl-code)", fontSize: "var(--jp-code-font-size, 13px)" },
  "&.cm-focused": { outline: "none" },
  ".cm-scroller": { fontFamily: "var(--jp-code-font-family, monospace)", lineHeight: "1.5", maxHeight: "340px" },
  ".cm-gutters": { backgroundColor: "transparent", color: "var(--cl-faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: "var(--cl-hover)" },
  ".cm-cursor": { borderLeftColor: "var(--cl-text)" },
  "&.cm-focused .cm-selectionBackground, .cm-selectionBackground": { backgroundColor: "var(--jp-editor-selected-focused-background, #b3d4fc) !important" },
});

function language(path) {
  if (path.endsWith(".py")) return python();
  if (/\.(m?js|json|ts)$/.test(path)) return javascript();
  return [];
}

function extensions(path, changed) {
  return [
    lineNumbers(),
    history(),
    drawSelection(),
    highlightActiveLine(),
    indentOnInput(),
    bracketMatching(),
    indentUnit.of(path.endsWith(".py") ? "    " : "  "),
    language(path),
    syntaxHighlighting(colours),
    keymap.of([...defaultKeymap, ...historyKeymap, indentWithTab]),
    EditorView.contentAttributes.of({ "aria-label": `Text of ${path}` }),
    EditorView.updateListener.of((update) => update.docChanged && changed(update.state.doc.toString())),
    look,
  ];
}

export function Editor({ store }) {
  const file = store.get("open_file");
  const place = useRef(null);
  useEffect(() => {
    if (!file.path) return undefined;
    const state = EditorState.create({
      doc: file.text,
      extensions: extensions(file.path, (text) => store.edit(file.path, text)),
    });
    const view = new EditorView({ state, parent: place.current });
    return () => view.destroy();
    // a new revision is a file opened or replaced by the kernel; the text alone changes with every pause in typing
  }, [file.path, file.revision]);
  if (!file.path) return null;
  return <div ref={place} class="cl-editor" data-path={file.path} />;
}
