// The Dockerfile that the form means, as it will be built: coloured, numbered, to copy and to download.
import { useState } from "preact/hooks";

export function Dockerfile({ store }) {
  const text = store.get("dockerfile");
  const [said, setSaid] = useState("");
  const copy = async () => {
    setSaid((await toClipboard(text)) ? "Copied" : "Select the text and copy it");
    setTimeout(() => setSaid(""), 2000);
  };
  const advice = store.get("advice");
  const advised = new Set(advice.map((each) => each.line));
  const lines = text.replace(/\n$/, "").split("\n");
  return (
    <aside class="cl-preview" aria-labelledby="cl-dockerfile">
      <div class="cl-preview-head">
        <h3 id="cl-dockerfile">Dockerfile</h3>
        <span class="cl-said" role="status">{said}</span>
        <button type="button" class="cl-button cl-small" onClick={copy} disabled={!text}>Copy</button>
        <button type="button" class="cl-button cl-small" onClick={() => download("Dockerfile", text)} disabled={!text}>Download</button>
      </div>
      {text ? (
        <pre class="cl-dockerfile" tabIndex={0} aria-label="Dockerfile preview">
          <code>
            {lines.map((line, index) => (
              <span key={index} class={`cl-line ${advised.has(index + 1) ? "cl-advised" : ""}`}>
                <span class="cl-number" aria-hidden="true">{index + 1}</span>
                <span class="cl-code">{coloured(line)}{"\n"}</span>
              </span>
            ))}
          </code>
        </pre>
      ) : (
        <p class="cl-empty">Choose a base image, and the Dockerfile appears here.</p>
      )}
      <Advice advice={advice} />
      <p class="cl-hint">Written by the form. You can learn from it, but you never need to.</p>
    </aside>
  );
}

// What works and could be better. It stops nothing, so it looks like a hint and not like a problem.
function Advice({ advice }) {
  return (
    <div aria-live="polite">
      {advice.length > 0 && (
        <section class="cl-advice" aria-label="Advice">
          <h4>Advice</h4>
          <ul>
            {advice.map((each) => (
              <li key={`${each.line} ${each.code}`}>
                <span class="cl-advice-line">Line {each.line}</span>
                <span title={each.code}>{each.message}</span>
              </li>
            ))}
          </ul>
          <p class="cl-hint">You may build as it is.</p>
        </section>
      )}
    </div>
  );
}

const TOKEN = /("(?:[^"\\]|\\.)*"|'[^']*')|(\$\{?\w+\}?)|(\s--[a-z-]+)/g;

function coloured(line) {
  if (/^\s*#/.test(line)) return <i class="cl-comment">{line}</i>;
  const verb = /^[A-Z]+(?=\s|$)/.exec(line)?.[0] ?? "";
  const parts = verb ? [<b class="cl-verb">{verb}</b>] : [];
  let at = verb.length;
  for (const match of line.matchAll(TOKEN)) {
    if (match.index < at) continue;
    parts.push(line.slice(at, match.index));
    parts.push(<span class={match[1] ? "cl-string" : match[2] ? "cl-variable" : "cl-option"}>{match[0]}</span>);
    at = match.index + match[0].length;
  }
  parts.push(line.slice(at));
  return parts;
}

export function download(name, text, type = "text/plain") {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([text], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

// A page served over plain HTTP from another machine has no clipboard: the old way still works there.
async function toClipboard(text) {
  if (navigator.clipboard) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      // refused by the browser's settings: try the old way
    }
  }
  const area = document.createElement("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  return copied;
}
