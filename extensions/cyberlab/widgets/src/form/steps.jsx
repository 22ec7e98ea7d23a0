// The three steps: build, try out, deploy. Exactly one of their buttons is the primary one: the next sensible step.
import { useState } from "preact/hooks";
import { Step } from "./work.jsx";

export function Steps({ store, focusField }) {
  const image = store.get("image_state");
  const trial = store.get("trial_state");
  const ready = Boolean(image.ref) && !image.outdated;
  const tried = ready && trial.phase === "done";
  return (
    <div class="cl-steps">
      <Build store={store} image={image} primary={!ready} focusField={focusField} />
      <Try store={store} image={image} primary={ready && !tried} />
      <Deploy store={store} image={image} primary={tried} />
    </div>
  );
}

function Build({ store, image, primary, focusField }) {
  const state = store.get("build_state");
  const count = store.get("problems").length;
  const problems = store.attempted && count > 0 ? `${count} ${count === 1 ? "thing" : "things"} to repair first` : "";
  const text = image.outdated
    ? `You changed the form since ${image.ref}: build again to use the changes.`
    : "Puts base, libraries and your files together into one image.";
  return (
    <Step
      store={store}
      kind="build"
      number={1}
      title="Build"
      text={text}
      state={image.outdated && !state.busy ? { ...state, next: "" } : state}
      fresh={!image.outdated}
      actions={
        <>
          {problems && <span class="cl-count" role="status">{problems}</span>}
          {!state.busy && <Button primary={primary} onClick={() => store.build(focusField)}>{image.ref ? "Build again" : "Build"}</Button>}
        </>
      }
    />
  );
}

function Try({ store, image, primary }) {
  const [seconds, setSeconds] = useState(30);
  const state = store.get("trial_state");
  return (
    <Step
      store={store}
      kind="trial"
      number={2}
      title="Try out"
      text="Runs the image on the lab's own computer for a short time. Readings appear in the log, nothing is stored."
      closed={!image.ref && "Build the image first."}
      state={state}
      longRunning
      actions={
        image.ref && !state.busy && (
          <>
            <label class="cl-inline">
              for
              <select class="cl-input" value={seconds} aria-label="Seconds to run" onChange={(event) => setSeconds(Number(event.currentTarget.value))}>
                <option value={10}>10 s</option>
                <option value={30}>30 s</option>
                <option value={60}>1 min</option>
                <option value={300}>5 min</option>
              </select>
            </label>
            <Button primary={primary} onClick={() => store.wish({ do: "try", seconds })}>Try out</Button>
          </>
        )
      }
    />
  );
}

const STATES = { ready: "ready", away: "away", paused: "paused" };

function Deploy({ store, image, primary }) {
  const state = store.get("deploy_state");
  const devices = store.get("devices");
  const deployments = store.get("deployments");
  const clusters = [...new Set(devices.map((device) => device.cluster).filter(Boolean))].sort();
  const [name, setName] = useState(null);
  const [cluster, setCluster] = useState("");
  const [picked, setPicked] = useState(null);
  const ready = devices.filter((device) => device.state === "ready").map((device) => device.name);
  const chosen = (picked ?? ready).filter((device) => ready.includes(device));
  const title = name ?? (store.draft.name || "");
  const count = cluster ? devices.filter((device) => device.cluster === cluster).length : chosen.length;
  const toggle = (device) => setPicked(chosen.includes(device) ? chosen.filter((each) => each !== device) : [...chosen, device]);
  const deploy = () => store.wish({ do: "deploy", name: title, devices: cluster ? [] : chosen, cluster: cluster || null });
  const updates = deployments.some((each) => each.name === title);
  return (
    <Step
      store={store}
      kind="deploy"
      number={3}
      title="Deploy"
      text="Sends the image to devices and keeps it running there until you stop it."
      closed={!image.ref && "Build the image first."}
      state={state}
      actions={
        image.ref && !state.busy && (
          <Button primary={primary} disabled={count === 0 || !title} onClick={deploy}>
            {updates ? "Update" : "Deploy"} {count > 0 && `on ${count}`}
          </Button>
        )
      }
      footer={deployments.length > 0 && <Running store={store} deployments={deployments} />}
    >
      {image.ref && !state.busy && (
        <div class="cl-deploy">
          <div class="cl-row">
            <label class="cl-inline">
              Name
              <input class="cl-input cl-short" value={title} spellcheck={false} onInput={(event) => setName(event.currentTarget.value)} />
            </label>
            {clusters.length > 0 && (
              <label class="cl-inline">
                Where
                <select class="cl-input" value={cluster} onChange={(event) => setCluster(event.currentTarget.value)}>
                  <option value="">on devices I pick</option>
                  {clusters.map((each) => <option key={each} value={each}>on the whole cluster {each}</option>)}
                </select>
              </label>
            )}
            <span class="cl-grow" />
            {!cluster && devices.length > 1 && (
              <>
                <button type="button" class="cl-link" onClick={() => setPicked(ready)}>All ready</button>
                <button type="button" class="cl-link" onClick={() => setPicked([])}>None</button>
              </>
            )}
            <button type="button" class="cl-link" onClick={() => store.wish({ do: "refresh" })}>Refresh</button>
          </div>
          <fieldset class="cl-group cl-bare">
            <legend class="cl-hidden">Devices</legend>
            <div class="cl-devices">
              {devices.map((device) => (
                <Device
                  key={device.name}
                  device={device}
                  chosen={cluster ? device.cluster === cluster : chosen.includes(device.name)}
                  locked={Boolean(cluster)}
                  toggle={() => toggle(device.name)}
                />
              ))}
              {devices.length === 0 && <p class="cl-empty">No device has joined the lab yet. Ask your teacher, then press Refresh.</p>}
            </div>
          </fieldset>
        </div>
      )}
      {state.phase !== "done" && (state.tasks ?? []).length > 0 && <Tasks rows={state.tasks} label={`Devices of ${state.name}`} />}
    </Step>
  );
}

function Device({ device, chosen, locked, toggle }) {
  const ready = device.state === "ready";
  const about = [device.cluster, device.platform, device.running > 0 && `${device.running} running`].filter(Boolean).join(" · ");
  return (
    <label class={`cl-device ${chosen && ready ? "cl-chosen" : ""} ${ready ? "" : "cl-off"}`}>
      <input type="checkbox" checked={chosen && ready} disabled={!ready || locked} onChange={toggle} />
      <span>
        <span class="cl-device-name">{device.name}</span>
        <span class={`cl-dot cl-${device.state}`}>{STATES[device.state]}</span>
        <span class="cl-device-about">{about}</span>
      </span>
    </label>
  );
}

function Tasks({ rows, label }) {
  return (
    <ul class="cl-tasks" aria-label={label}>
      {rows.map((row) => (
        <li key={row.device}>
          <span class="cl-device-name">{row.device}</span>
          <span class={`cl-dot cl-${row.state}`}>{row.state}</span>
          {row.message && <span class="cl-device-about">{row.message}</span>}
        </li>
      ))}
    </ul>
  );
}

function Running({ store, deployments }) {
  return (
    <div class="cl-running">
      <h4>Running now</h4>
      <ul>
        {deployments.map((each) => {
          const up = each.tasks.filter((task) => task.state === "running").length;
          return (
            <li key={each.name}>
              <span class="cl-device-name">{each.name}</span>
              <span class="cl-device-about">{each.image} · {up} of {each.tasks.length} devices</span>
              <span class="cl-grow" />
              <button type="button" class="cl-button cl-small cl-danger" onClick={() => store.wish({ do: "stop", name: each.name })}>
                Stop<span class="cl-hidden"> {each.name}</span>
              </button>
            </li>
          );
        })}
      </ul>
    </div>
  );
}

function Button({ primary, children, ...rest }) {
  return <button type="button" class={`cl-button ${primary ? "cl-primary" : ""}`} {...rest}>{children}</button>;
}
