// Section 2: libraries that fit the base, and any others by name.
import { Field, Group } from "./field.jsx";

const KINDS = { pip: "Python", apt: "system", npm: "Node" };

export function Libraries({ store }) {
  const { draft } = store;
  const base = (store.get("catalogue").bases ?? []).find((each) => each.name === draft.base);
  if (!base) return null;
  const offered = base.libraries.map((library) => ({ ...library, id: `${library.kind}:${library.name}` }));
  const strangers = draft.libraries
    .filter((id) => !offered.some((library) => library.id === id))
    .map((id) => ({ id, name: id.split(":")[1], kind: id.split(":")[0], summary: "Not offered for this base." }));
  const python = base.language === "python";
  return (
    <section class="cl-section" aria-labelledby="cl-libraries">
      <h3 id="cl-libraries">Libraries</h3>
      {base.includes.length > 0 && (
        <p class="cl-inside">
          Already inside: {base.includes.map((name) => <code key={name}>{name}</code>)}
        </p>
      )}
      {offered.length + strangers.length > 0 && (
        <Group store={store} field="libraries" label="Add libraries that fit">
          <div class="cl-ticks">
            {[...offered, ...strangers].map((library) => (
              <Tick key={library.id} store={store} library={library} />
            ))}
          </div>
        </Group>
      )}
      {(python || draft.pip_text) && (
        <Typed store={store} field="pip_text" label="More Python packages" example="numpy==2.1.0 requests" />
      )}
      {(!python || draft.npm_text) && (
        <Typed store={store} field="npm_text" label="More npm packages" example="mqtt@5.0.0 ws" />
      )}
    </section>
  );
}

function Tick({ store, library }) {
  const chosen = store.draft.libraries.includes(library.id);
  const toggle = () => {
    const others = store.draft.libraries.filter((id) => id !== library.id);
    store.set("libraries", chosen ? others : [...others, library.id]);
    store.touch("libraries");
  };
  return (
    <label class="cl-tick">
      <input type="checkbox" checked={chosen} onChange={toggle} />
      <span>
        <span class="cl-tick-name">{library.name}</span>
        <span class="cl-kind">{KINDS[library.kind]}</span>
        <span class="cl-tick-text">{library.summary}</span>
      </span>
    </label>
  );
}

function Typed({ store, field, label, example }) {
  return (
    <Field store={store} field={field} label={label} optional hint={<>Names with or without a version, such as <code>{example}</code></>}>
      {(aria) => (
        <input
          {...aria}
          class="cl-input cl-mono"
          value={store.draft[field]}
          spellcheck={false}
          autocomplete="off"
          onInput={(event) => store.set(field, event.currentTarget.value, 250)}
        />
      )}
    </Field>
  );
}
