// Section 4: what most programs never need: folder, variables, ports, hardware, platforms, own instructions.
import { useState } from "preact/hooks";
import { Field, Group, Problems } from "./field.jsx";

const FIELDS = ["workdir", "env", "ports", "devices", "platforms", "custom"];

export function Settings({ store }) {
  const { draft } = store;
  const [open, setOpen] = useState(false);
  const catalogue = store.get("catalogue");
  const base = (catalogue.bases ?? []).find((each) => each.name === draft.base);
  const scenario = (catalogue.scenarios ?? []).find((each) => each.name === draft.scenario);
  const wrong = store.get("problems").some(
    (problem) => FIELDS.includes(problem.field.split(".")[0]) && store.shown(problem.field).length > 0,
  );
  const facts = [
    draft.env.length > 0 && `${draft.env.length} variable${draft.env.length > 1 ? "s" : ""}`,
    (draft.ports || scenario?.ports.length > 0) && `port ${draft.ports || scenario.ports.join(", ")}`,
    draft.devices.length > 0 && draft.devices.join(", "),
    draft.workdir !== "/usr/src/app" && draft.workdir,
  ].filter(Boolean);
  return (
    <details class="cl-section cl-settings" open={open || wrong} onToggle={(event) => setOpen(event.currentTarget.open)}>
      <summary>
        <h3>More settings</h3>
        <span class="cl-hint">{facts.length > 0 ? facts.join(" · ") : "folder, variables, ports, hardware"}</span>
      </summary>
      <Field store={store} field="workdir" label="Folder of your files" hint="Where your files are, and where the command starts.">
        {(aria) => <Text store={store} aria={aria} field="workdir" />}
      </Field>
      <Env store={store} />
      <Field store={store} field="ports" label="Ports" optional hint="Where your program listens, such as 8080. From 1024 upwards.">
        {(aria) => <Text store={store} aria={aria} field="ports" short placeholder={scenario?.ports.join(", ")} />}
      </Field>
      {(catalogue.device_profiles ?? []).length > 0 && (
        <Choices store={store} field="devices" label="Hardware your program needs" values={catalogue.device_profiles} />
      )}
      {(base?.platforms ?? []).length > 1 && (
        <Choices store={store} field="platforms" label="Build for" values={base.platforms} hint="None ticked: what the lab's own computer is." />
      )}
      <Field store={store} field="custom" label="Own Dockerfile instructions" optional hint="For those who know Docker. One a line; a few kinds are allowed.">
        {(aria) => (
          <textarea
            {...aria}
            class="cl-input cl-mono"
            rows={2}
            value={draft.custom}
            spellcheck={false}
            onInput={(event) => store.set("custom", event.currentTarget.value, 250)}
          />
        )}
      </Field>
    </details>
  );
}

function Text({ store, aria, field, short, placeholder }) {
  return (
    <input
      {...aria}
      class={`cl-input cl-mono ${short ? "cl-short" : ""}`}
      value={store.draft[field]}
      placeholder={placeholder}
      spellcheck={false}
      autocomplete="off"
      onInput={(event) => store.set(field, event.currentTarget.value, 250)}
    />
  );
}

function Choices({ store, field, label, values, hint }) {
  const chosen = store.draft[field];
  const toggle = (value) => {
    store.set(field, chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value]);
    store.touch(field);
  };
  return (
    <Group store={store} field={field} label={label} hint={hint}>
      <div class="cl-row">
        {values.map((value) => (
          <label key={value} class="cl-pill">
            <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggle(value)} />
            {value}
          </label>
        ))}
      </div>
    </Group>
  );
}

function Env({ store }) {
  const rows = store.draft.env;
  const change = (index, part, value) =>
    store.set("env", rows.map((row, at) => (at === index ? { ...row, [part]: value } : row)), 250);
  return (
    <Group store={store} field="env" label="Environment variables" hint="Values your program reads, so that you can change them without changing the code.">
      {rows.map((row, index) => (
        <div key={index} data-field={`env.${index}`}>
          <div class="cl-env">
            <input
              class="cl-input cl-mono"
              value={row.key}
              placeholder="NAME"
              aria-label={`Name of variable ${index + 1}`}
              spellcheck={false}
              onInput={(event) => change(index, "key", event.currentTarget.value)}
              onBlur={() => store.touch(`env.${index}`)}
            />
            <span aria-hidden="true">=</span>
            <input
              class="cl-input cl-mono"
              value={row.value}
              placeholder="value"
              aria-label={`Value of variable ${index + 1}`}
              spellcheck={false}
              onInput={(event) => change(index, "value", event.currentTarget.value)}
            />
            <button
              type="button"
              class="cl-icon"
              title="Remove"
              aria-label={`Remove variable ${row.key || index + 1}`}
              onClick={() => store.set("env", rows.filter((_, at) => at !== index))}
            >
              ✕
            </button>
          </div>
          <Problems problems={store.shown(`env.${index}`)} />
        </div>
      ))}
      <button type="button" class="cl-button" onClick={() => store.set("env", [...rows, { key: "", value: "" }])}>Add a variable</button>
    </Group>
  );
}
