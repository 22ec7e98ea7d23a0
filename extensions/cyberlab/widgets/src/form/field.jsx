// A labelled field with its hint and its problems, tied together for screen readers.
import { useId } from "preact/hooks";

export function Problems({ id, problems }) {
  return (
    <div id={id} class="cl-problems" aria-live="polite">
      {problems.map((problem) => (
        <p key={problem.path + problem.code} class="cl-problem">{problem.message}</p>
      ))}
    </div>
  );
}

export function Field({ store, field, label, hint, children, optional }) {
  const id = useId();
  const problems = store.shown(field);
  const aria = {
    id,
    "data-field": field,
    "aria-describedby": `${id}-hint ${id}-problems`,
    "aria-invalid": problems.length > 0 ? "true" : undefined,
    onBlur: () => store.touch(field),
  };
  return (
    <div class="cl-field">
      <label class="cl-label" for={id}>
        {label}
        {optional && <span class="cl-optional">optional</span>}
      </label>
      {children(aria)}
      <div id={`${id}-hint`} class="cl-hint">{hint}</div>
      <Problems id={`${id}-problems`} problems={problems} />
    </div>
  );
}

// A group of boxes or cards: a fieldset, because a label cannot name many controls.
export function Group({ store, field, label, hint, children }) {
  const id = useId();
  const problems = store.shown(field);
  return (
    <fieldset
      class="cl-group"
      data-field={field}
      tabIndex={-1}
      aria-describedby={`${id}-hint ${id}-problems`}
      aria-invalid={problems.length > 0 ? "true" : undefined}
    >
      <legend class="cl-label">{label}</legend>
      {hint && <div id={`${id}-hint`} class="cl-hint">{hint}</div>}
      {children}
      <Problems id={`${id}-problems`} problems={problems} />
    </fieldset>
  );
}

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  if (bytes < 1_000_000) return `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;
  return `${(bytes / 1_000_000).toFixed(1)} MB`;
}
