// The sensor dashboard: controls, chart, and a tile for each device, which is also its switch in the chart.
import { render } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import "uplot/dist/uPlot.min.css";
import { keepKeys } from "../keys.js";
import { Chart, colour, number, unitName } from "./chart.js";
import "./sensors.css";

const TRAITS = ["spans", "choices", "picked", "series", "status"];
const BEAT_MS = 5000;

function Dashboard({ model }) {
  const [, draw] = useState(0);
  const [hidden, setHidden] = useState([]);
  const [paused, setPaused] = useState(false);
  const [said, setSaid] = useState("");
  const [origins, setOrigins] = useState(null);
  const frozen = useRef(null);
  const alive = useBeat(model, paused);

  useEffect(() => {
    const again = () => draw((count) => count + 1);
    const message = (content, buffers) => {
      if (content.csv) save(content.name, content.csv, "text/csv");
      if (content.parquet) save(content.name, buffers[0], "application/vnd.apache.parquet");
      if (content.origins !== undefined) setOrigins(content.origins);
      setSaid(content.error ?? "");
    };
    for (const trait of TRAITS) model.on(`change:${trait}`, again);
    model.on("msg:custom", message);
    return () => {
      for (const trait of TRAITS) model.off(`change:${trait}`, again);
      model.off("msg:custom", message);
    };
  }, [model]);

  if (!paused) frozen.current = model.get("series");
  const series = frozen.current;
  const status = model.get("status");
  const picked = model.get("picked");
  const pick = (changes) => {
    setPaused(false);
    setOrigins(null);
    model.send({ do: "pick", ...changes });
  };
  const toggle = (device) => setHidden(hidden.includes(device) ? hidden.filter((each) => each !== device) : [...hidden, device]);
  return (
    <div class="cs-page">
      <div class="cs-head">
        <h2>Sensors</h2>
        <Live status={status} paused={paused} alive={alive} />
      </div>
      <Controls model={model} picked={picked} pick={pick} />
      {status.kind === "error" && <div class="cs-error" role="alert">{status.text}</div>}
      {status.kind === "empty" || (status.kind === "loading" && series.tiles.length === 0) ? (
        <Empty status={status} picked={picked} />
      ) : (
        <>
          <section class="cs-card" aria-label="Chart">
            <div class="cs-card-head">
              <h3>{picked.measurement}{picked.field !== "value" && ` · ${picked.field}`}{series.unit && <span> in {unitName(series.unit)}</span>}</h3>
              <button type="button" class="cs-button" aria-pressed={paused} onClick={() => setPaused(!paused)}>{paused ? "Resume" : "Pause"}</button>
              <button type="button" class="cs-button" onClick={() => { setSaid("Collecting…"); model.send({ do: "csv" }); }}>Download CSV</button>
              <button type="button" class="cs-button" onClick={() => { setSaid("Collecting…"); model.send({ do: "parquet" }); }}>Download Parquet</button>
              <button type="button" class="cs-button" aria-expanded={origins !== null} onClick={() => { if (origins !== null) { setOrigins(null); return; } setSaid("Looking…"); model.send({ do: "origins" }); }}>Which code?</button>
              <span class="cs-said" role="status">{said}</span>
            </div>
            <Plot series={series} hidden={hidden} label={`Chart of ${picked.measurement}; the tiles below hold its last values`} />
          </section>
          {origins !== null && <Origins origins={origins} />}
          <section aria-labelledby="cs-devices">
            <div class="cs-card-head">
              <h3 id="cs-devices">Devices</h3>
              <button type="button" class="cs-button" onClick={() => setHidden([])}>All</button>
              <button type="button" class="cs-button" onClick={() => setHidden(series.tiles.map((tile) => tile.device))}>None</button>
            </div>
            <div class="cs-tiles">
              {series.tiles.map((tile, index) => (
                <Tile
                  key={tile.device}
                  tile={tile}
                  unit={series.unit}
                  now={series.now}
                  colour={colour(index)}
                  shown={!hidden.includes(tile.device)}
                  toggle={() => toggle(tile.device)}
                />
              ))}
            </div>
          </section>
        </>
      )}
    </div>
  );
}

// Which code wrote the readings of the chart: one entry for each version of each deployment.
function Origins({ origins }) {
  return (
    <section class="cs-card cs-origins" aria-labelledby="cs-origins">
      <h3 id="cs-origins">Which code wrote these readings</h3>
      {origins.length === 0 && <p>Nothing is known about these readings.</p>}
      {origins.map((one) => (
        <details key={one.key}>
          <summary>{one.title}</summary>
          <dl>
            {one.facts.map(([name, value]) => [<dt key={`t${name}`}>{name}</dt>, <dd key={name}>{value}</dd>])}
          </dl>
          {one.dockerfile && <pre tabIndex={0} aria-label="Dockerfile">{one.dockerfile}</pre>}
        </details>
      ))}
    </section>
  );
}

// A beat every five seconds while somebody can see the page; the kernel looks at the database only then.
function useBeat(model, paused) {
  const [alive, setAlive] = useState(true);
  useEffect(() => {
    const beat = () => {
      if (document.hidden || paused) return;
      try {
        model.send({ do: "beat" });
        setAlive(true);
      } catch {
        setAlive(false); // the kernel is gone: say so instead of showing old values as live
      }
    };
    beat();
    const timer = setInterval(beat, BEAT_MS);
    document.addEventListener("visibilitychange", beat);
    return () => {
      clearInterval(timer);
      document.removeEventListener("visibilitychange", beat);
    };
  }, [model, paused]);
  return alive;
}

function Live({ status, paused, alive }) {
  const [kind, text] = !alive
    ? ["error", "connection lost: reload the page"]
    : paused
      ? ["paused", "paused"]
      : { live: ["live", "live"], empty: ["paused", "waiting for readings"], error: ["error", "trying again"], loading: ["paused", "loading"] }[status.kind];
  return <span class={`cs-state cs-${kind}`} role="status">{text}</span>;
}

function Controls({ model, picked, pick }) {
  const { databases, measurements } = model.get("choices");
  const names = measurements.map((each) => each.measurement);
  const fields = measurements.find((each) => each.measurement === picked.measurement)?.fields ?? [];
  return (
    <div class="cs-controls">
      <Select label="Data" value={picked.db} onPick={(db) => pick({ db })}
        options={databases.length > 0 ? databases.map((each) => [each.name, each.title]) : [[picked.db, "My readings"]]} />
      <Select label="Measurement" value={picked.measurement} onPick={(measurement) => pick({ measurement })}
        options={(names.includes(picked.measurement) ? names : [picked.measurement, ...names]).map((each) => [each, each])} />
      {fields.length > 1 && (
        <Select label="Value" value={picked.field} onPick={(field) => pick({ field })} options={fields.map((each) => [each, each])} />
      )}
      <fieldset class="cs-spans">
        <legend>Time range</legend>
        <div>
          {model.get("spans").map((span) => (
            <label key={span.name} class={span.name === picked.span ? "cs-on" : ""}>
              <input type="radio" name="cs-span" checked={span.name === picked.span} onChange={() => pick({ span: span.name })} />
              {span.title}
            </label>
          ))}
        </div>
      </fieldset>
    </div>
  );
}

function Select({ label, value, options, onPick }) {
  return (
    <label class="cs-select">
      <span>{label}</span>
      <select value={value} onChange={(event) => onPick(event.currentTarget.value)}>
        {options.map(([name, title]) => <option key={name} value={name} selected={name === value}>{title}</option>)}
      </select>
    </label>
  );
}

function Empty({ status, picked }) {
  if (status.kind === "loading") return <div class="cs-empty"><p>Looking for readings…</p></div>;
  return (
    <div class="cs-empty">
      <h3>No readings of {picked.measurement} in this time</h3>
      <p>Deploy a program that calls <code>publish("{picked.measurement}", value)</code>, as in lesson 01. They appear here by themselves, within seconds.</p>
      <p>If your program runs already: choose a longer time range, or another measurement.</p>
    </div>
  );
}

function Plot({ series, hidden, label }) {
  const place = useRef(null);
  const chart = useRef(null);
  useEffect(() => {
    chart.current = new Chart(place.current);
    return () => chart.current.destroy();
  }, []);
  useEffect(() => {
    const order = series.tiles.map((tile) => tile.device);
    const lines = series.lines.map((line) => ({ ...line, index: Math.max(0, order.indexOf(line.device)), shown: !hidden.includes(line.device) }));
    chart.current.show({ ...series, lines });
  }, [series, hidden]);
  return <div ref={place} class="cs-plot" role="img" aria-label={label} />;
}

function Tile({ tile, unit, now, colour: line, shown, toggle }) {
  const age = Math.max(0, Math.round((now - tile.at) / 1000));
  return (
    <button type="button" class={`cs-tile ${shown ? "" : "cs-dim"}`} aria-pressed={shown} onClick={toggle} style={{ "--cs-colour": line }}
      title={shown ? "Hide in the chart" : "Show in the chart"}>
      <span class="cs-tile-name">{tile.device}</span>
      <span class="cs-tile-value">{number(tile.value)}<small>{unitName(unit)}</small></span>
      <span class="cs-tile-about"><span>{number(tile.low)} … {number(tile.high)}</span><span class={age > 30 ? "cs-old" : ""}>{ago(age)}</span></span>
    </button>
  );
}

function ago(seconds) {
  if (seconds < 3) return "now";
  if (seconds < 90) return `${seconds} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  return `${Math.round(seconds / 3600)} h ago`;
}

function save(name, content, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}

export default {
  render({ model, el }) {
    el.classList.add("cs-root");
    keepKeys(el);
    render(<Dashboard model={model} />, el);
    return () => render(null, el);
  },
};
