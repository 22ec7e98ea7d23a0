// Section 1: the name and the base image.
import { Field, Group } from "./field.jsx";

export function Start({ store }) {
  const { draft } = store;
  const bases = store.get("catalogue").bases ?? [];
  const owner = store.get("owner");
  return (
    <section class="cl-section" aria-labelledby="cl-start">
      <h3 id="cl-start">Name and base</h3>
      <Field
        store={store}
        field="name"
        label="Name"
        hint={<>Small letters, digits and hyphens. Your image will be called <code>{owner}/{draft.name || "…"}</code>.</>}
      >
        {(aria) => (
          <input
            {...aria}
            class="cl-input cl-short"
            value={draft.name}
            maxLength={60}
            spellcheck={false}
            autocomplete="off"
            onInput={(event) => store.set("name", event.currentTarget.value, 200)}
          />
        )}
      </Field>
      <Group store={store} field="base" label="Base image" hint="What is on the little computer before your code arrives.">
        <div class="cl-cards">
          {bases.map((base) => (
            <BaseCard key={base.name} store={store} base={base} chosen={draft.base === base.name} />
          ))}
        </div>
      </Group>
    </section>
  );
}

function BaseCard({ store, base, chosen }) {
  const versions = Object.entries(base.versions).map(([name, version]) => `${name} ${version}`);
  const facts = [...versions.slice(0, 3), base.size_mb ? `${base.size_mb} MB` : null].filter(Boolean);
  return (
    <label class={`cl-card ${chosen ? "cl-chosen" : ""}`}>
      <input
        type="radio"
        name={`base-${store.model.model_id ?? "form"}`}
        checked={chosen}
        onChange={() => store.wish({ do: "base", name: base.name })}
      />
      <span class="cl-card-body">
        <span class="cl-card-title">
          {base.title}
          {base.ready ? (
            <span class="cl-chip cl-good">ready</span>
          ) : (
            <span class="cl-chip">first use takes about {seconds(base.build_seconds)}</span>
          )}
        </span>
        <span class="cl-card-text">{base.summary}</span>
        {facts.length > 0 && <span class="cl-card-facts">{facts.join(" · ")}</span>}
      </span>
    </label>
  );
}

export function seconds(count) {
  return count < 90 ? `${count} s` : `${Math.round(count / 60)} min`;
}
