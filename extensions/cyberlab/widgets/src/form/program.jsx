// Section 3: how the image runs, its files, and an editor for them.
import { useRef, useState } from "preact/hooks";
import { Editor } from "./editor.jsx";
import { dropped, isArchive, isClutter } from "./drop.js";
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
  const folders = useRef(null);
  const said = store.get("upload");

  const upload = async (list) => {
    const big = [];
    for (const file of list) {
      if (isArchive(file.name)) {
        if (file.size > limits.total_bytes * 1.05) {
          const message = `${file.name} is ${size(file.size)}; an archive may have ${size(limits.total_bytes)}. It was not added.`;
          big.push({ path: file.name, code: "archive-too-large", message });
        } else {
          store.wish({ do: "unpack", path: file.name }, [await file.arrayBuffer()]);
        }
      } else if (file.size > limits.file_bytes) {
        const message = `${file.name} is ${size(file.size)}; one file may have ${size(limits.file_bytes)}. It was not added.`;
        big.push({ path: file.name, code: "file-too-big", message });
      } else {
        store.wish({ do: "upload", path: file.name }, [await file.arrayBuffer()]);
      }
    }
    setRefused(big);
  };
  // All files of a folder, in one message. The kernel decides what is left out; here only what would take for ever to read.
  const uploadFolder = async (name, list) => {
    const total = list.reduce((sum, { file }) => sum + file.size, 0);
    if (total > limits.total_bytes * 1.05) {
      const message = `${name} has ${size(total)}; the files may have ${size(limits.total_bytes)} in all. Nothing of it was added.`;
      setRefused([{ path: name, code: "folder-too-large", message }]);
      return;
    }
    setRefused([]);
    const contents = await Promise.all(list.map(({ file }) => file.arrayBuffer()));
    store.wish({ do: "folder", name, paths: list.map(({ path }) => path) }, contents);
  };
  const drop = async (event) => {
    event.preventDefault();
    event.stopPropagation();
    setOver(false);
    const { files: single, folders: whole } = await dropped(event.dataTransfer, limits.files * 10);
    if (single.length > 0) await upload(single);
    for (const folder of whole) await uploadFolder(folder.name, folder.files);
  };
  const pickFolder = (event) => {
    const list = [...event.currentTarget.files].map((file) => ({ path: file.webkitRelativePath, file }));
    event.currentTarget.value = "";
    if (list.length > 0) uploadFolder(list[0].path.split("/")[0], list.filter(({ path }) => !isClutter(path)).slice(0, limits.files * 10));
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
          <button type="button" class="cl-button" onClick={() => folders.current.click()}>Upload a folder</button>
          <button type="button" class="cl-button" onClick={add}>New file</button>
          <span class="cl-hint">or drop files, a folder or a zip here; up to {size(limits.file_bytes)} each, {size(limits.total_bytes)} in all</span>
          <input
            ref={picker}
            type="file"
            multiple
            hidden
            aria-label="Files to upload"
            onChange={(event) => { upload([...event.currentTarget.files]); event.currentTarget.value = ""; }}
          />
          <input ref={folders} type="file" webkitdirectory hidden aria-label="Folder to upload" onChange={pickFolder} />
        </div>
        <Editor store={store} />
      </div>
      <div role="status">
        {said.said && !said.refused && <p class="cl-hint">{said.said}</p>}
      </div>
      <Problems problems={said.refused ? [...refused, { path: "upload", code: "upload", message: said.said }] : refused} />
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
