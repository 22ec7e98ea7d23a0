// Section 3: how the image runs, its files, and an editor for them.
import { useRef, useState } from "preact/hooks";
import { Editor } from "./editor.jsx";
import { Field, Group, Problems, size } from "./field.jsx";

export function Program({ store }) {
  const { draft } = store;
  const scenarios = (store.get("catalogue").scenarios ?? []).filter((each) => each.bases.includes(draft.base));
  const scenario = scenarios.find((each) => each.name === draft.scenario);
  return (
    <section class="cl-section" aria-labelledby="cl-program">
      <h3 id="cl-program">Program</h3>
      <Field store={store} field="scenario" label="Way to run it" hint={scenario?.summary}>
        {(aria) => (
          <select
            {...aria}
            class="cl-input cl-short"
            value={draft.scenario}
            onChange={(event) => store.wish({ do: "scenario", name: event.currentTarget.value })}
          >
            {!scenario && <option value={draft.scenario}>{draft.scenario || "Choose"}</option>}
            {scenarios.map((each) => <option key={each.name} value={each.name}>{each.title}</option>)}
          </select>
        )}
      </Field>
      <Files store={store} />
      <Field
        store={store}
        field="command"
        label="Command"
        optional
        hint={scenario && !draft.command ? "Empty: the command of the chosen way to run it." : "Started in the folder of your files."}
      >
        {(aria) => (
          <input
            {...aria}
            class="cl-input cl-mono"
            value={draft.command}
            placeholder={scenario?.command.join(" ")}
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => store.set("command", event.currentTarget.value, 250)}
          />
        )}
      </Field>
    </section>
  );
}

function Files({ store }) {
  const files = store.get("files");
  const limits = store.get("catalogue").limits ?? { file_bytes: 1e6, total_bytes: 8e6, files: 200 };
  const [refused, setRefused] = useState([]);
  const [over, setOver] = useState(false);
  const picker = useRef(null);

  const upload = async (list) => {
    const big = [];
    for (const file of list) {
      if (file.size > limits.file_bytes) {
        const message = `${file.name} is ${size(file.size)}; one file may have ${size(limits.file_bytes)}. It was not added.`;
        big.push({ path: file.name, code: "file-too-big", message });
      } else {
        store.wish({ do: "upload", path: file.name }, [await file.arrayBuffer()]);
      }
    }
    setRefused(big);
  };
  const drop = (event) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    upload(event.dataTransfer.files);
  };
  const add = () => {
    let number = 1;
    const name = () => (number === 1 ? "new.py" : `new${number}.py`);
    while (files.some((file) => file.path === name())) number += 1;
    store.wish({ do: "upload", path: name() }, [new TextEncoder().encode("\n").buffer]);
  };
  return (
    <Group store={store} field="files" label="Files" hint={<>They go into <code>{store.draft.workdir || "/"}</code>.</>}>
      <div
        class={`cl-files ${over ? "cl-over" : ""}`}
        onDragOver={(event) => { event.preventDefault(); event.stopPropagation(); setOver(true); }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <ul class="cl-file-list">
          {files.map((file, index) => <FileRow key={index} store={store} file={file} index={index} />)}
          {files.length === 0 && <li class="cl-empty">No file yet. Upload one, or begin a new one.</li>}
        </ul>
        <div class="cl-file-bar">
          <button type="button" class="cl-button" onClick={() => picker.current.click()}>Upload files</button>
          <button type="button" class="cl-button" onClick={add}>New file</button>
          <span class="cl-hint">or drop files here; up to {size(limits.file_bytes)} each, {size(limits.total_bytes)} in all</span>
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            aria-label="Files to upload"
            onChange={(event) => { upload([...event.currentTarget.files]); event.currentTarget.value = ""; }}
          />
        </div>
        <Editor store={store} />
      </div>
      <Problems problems={refused} />
    </Group>
  );
}

function FileRow({ store, file, index }) {
  const [renaming, setRenaming] = useState(false);
  const open = store.get("open_file").path === file.path;
  const problems = store.shown(`files.${index}`);
  const rename = (event) => {
    setRenaming(false);
    const name = event.currentTarget.value.trim();
    if (name && name !== file.path) {
      store.wish({ do: "rename", path: file.path, new: name });
      store.touch(`files.${index}`);
    }
  };
  return (
    <li class={`cl-file ${open ? "cl-open" : ""}`} data-field={`files.${index}`} tabIndex={-1}>
      <div class="cl-file-row">
        {renaming ? (
          <input
            class="cl-input cl-mono"
            defaultValue={file.path}
            aria-label={`New name of ${file.path}`}
            ref={(input) => input?.focus()}
            onBlur={rename}
            onKeyDown={(event) => {
              if (event.key === "Enter") event.currentTarget.blur();
              if (event.key === "Escape") setRenaming(false);
            }}
          />
        ) : (
          <button
            type="button"
            class="cl-file-name"
            disabled={!file.editable}
            aria-current={open ? "true" : undefined}
            title={file.editable ? "Open in the editor" : "Not a text that the editor can open"}
            onClick={() => store.wish({ do: "open", path: file.path })}
          >
            {file.path}
          </button>
        )}
        <span class="cl-file-size">{size(file.size)}</span>
        <button type="button" class="cl-icon" aria-label={`Rename ${file.path}`} title="Rename" onClick={() => setRenaming(true)}>✎</button>
        <button type="button" class="cl-icon" aria-label={`Remove ${file.path}`} title="Remove" onClick={() => store.wish({ do: "remove", path: file.path })}>✕</button>
      </div>
      <Problems problems={problems} />
    </li>
  );
}
