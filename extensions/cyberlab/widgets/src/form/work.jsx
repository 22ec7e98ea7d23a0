// What the three steps share: the head with its button, the progress, the log, the error and the next step.
import { useEffect, useRef, useState } from "preact/hooks";

const PHASES = {
  build: [["queued", "Waiting"], ["preparing", "Preparing"], ["building", "Building"], ["pushing", "Saving"]],
  trial: [["queued", "Waiting"], ["preparing", "Preparing"], ["starting", "Starting"], ["running", "Running"]],
  deploy: [["queued", "Waiting"], ["preparing", "Preparing"], ["starting", "Starting"], ["running", "Running"]],
};
const ENDED = { done: "Done", failed: "Failed", cancelled: "Stopped" };

export function Step({ store, kind, number, title, text, state, closed, actions, children, footer, longRunning, fresh = true }) {
  const ticked = state.phase === "done" && fresh;
  const id = `cl-step-${kind}`;
  return (
    <section class={`cl-step ${closed ? "cl-closed" : ""}`} aria-labelledby={id}>
      <div class="cl-step-head">
        <span class={`cl-step-number ${ticked ? "cl-ok" : ""}`} aria-hidden="true">{ticked ? "✓" : number}</span>
        <div class="cl-step-words">
          <h3 id={id}>{title}</h3>
          <p class="cl-hint">{closed || text}</p>
        </div>
        <div class="cl-actions">
          {actions}
          {state.busy && (
            <button
              type="button"
              class="cl-button cl-danger"
              disabled={state.stopping}
              onClick={() => store.wish({ do: "cancel", panel: kind })}
            >
              {state.stopping ? "Stopping…" : longRunning ? "Stop" : "Cancel"}
            </button>
          )}
        </div>
      </div>
      {children}
      {state.phase && <Progress kind={kind} state={state} />}
      {state.error && (
        <div class="cl-error" role="alert">
          <strong>{state.phase === "cancelled" ? "Stopped" : "That did not work"}</strong>
          <p>{state.error.message}</p>
        </div>
      )}
      <Log lines={store.logs[kind]} kind={kind} open={state.busy || state.phase === "failed" || kind === "trial"} />
      {state.next && <p class="cl-next">{state.next}</p>}
      {state.usage && <p class="cl-hint cl-usage">{state.usage}</p>}
      {footer}
    </section>
  );
}

function Progress({ kind, state }) {
  const phases = PHASES[kind];
  const at = phases.findIndex(([phase]) => phase === state.phase);
  const ended = ENDED[state.phase];
  const known = state.steps > 0;
  const percent = state.phase === "done" ? 100 : known ? Math.round((100 * state.step) / state.steps) : 0;
  const detail = known && !ended ? `step ${state.step} of ${state.steps}` : "";
  const name = ended ?? phases[at]?.[1] ?? state.phase;
  return (
    <div class="cl-progress">
      <ol class="cl-phases" aria-hidden="true">
        {phases.map(([phase, title], index) => (
          <li key={phase} class={state.phase === "done" || index < at ? "cl-past" : index === at ? "cl-now" : ""}>{title}</li>
        ))}
        {ended && <li class={`cl-end cl-${state.phase}`}>{ended}</li>}
      </ol>
      <div
        class={`cl-bar cl-${state.phase} ${state.busy && !known ? "cl-moving" : ""}`}
        role="progressbar"
        aria-label={`Progress: ${name}`}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={known || ended ? percent : undefined}
      >
        <span style={{ width: `${percent}%` }} />
      </div>
      <div class="cl-status">
        <span role="status">{[name, detail].filter(Boolean).join(", ")}</span>
        <span class="cl-step-text">{!ended && state.text}</span>
        <Clock state={state} />
      </div>
    </div>
  );
}

function Clock({ state }) {
  const [, tick] = useState(0);
  useEffect(() => {
    if (!state.busy) return undefined;
    const timer = setInterval(() => tick((count) => count + 1), 500);
    return () => clearInterval(timer);
  }, [state.busy]);
  if (!state.started) return null;
  const seconds = Math.max(0, ((state.busy ? Date.now() : state.finished) - state.started) / 1000);
  return <span class="cl-clock">{seconds < 60 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`}</span>;
}

function Log({ lines, kind, open }) {
  const place = useRef(null);
  const follow = useRef(true);
  useEffect(() => {
    if (place.current && follow.current) place.current.scrollTop = place.current.scrollHeight;
  }, [lines, open]);
  if (lines.length === 0) return null;
  return (
    <details class="cl-log" open={open || undefined}>
      <summary>Log <span class="cl-hint">{lines.length} {lines.length === 1 ? "line" : "lines"}</span></summary>
      <pre
        ref={place}
        tabIndex={0}
        aria-label={`Log of the ${kind}`}
        onScroll={(event) => {
          const box = event.currentTarget;
          follow.current = box.scrollHeight - box.scrollTop - box.clientHeight < 24;
        }}
      >
        {lines.join("\n")}
      </pre>
    </details>
  );
}
