// One store a form: what was typed here and not yet seen by the kernel, which fields were touched, the logs.
// State comes down as traits, wishes go up as messages (image_form.py says why).

const TRAITS = [
  "owner", "catalogue", "files", "open_file", "problems", "dockerfile", "advice", "upload", "image_state", "devices", "deployments",
  "build_state", "trial_state", "deploy_state", "offers", "notice",
];
const KEPT_LINES = 5000;

export class Store {
  constructor(model) {
    this.model = model;
    this.draft = { ...model.get("draft") };
    this.seq = this.draft._seq ?? 0;
    this.unseen = {}; // key -> number of the newest edit that the kernel has not answered
    this.timers = {};
    this.touched = new Set();
    this.attempted = false;
    this.logs = { build: [], trial: [], deploy: [] };
    this.listeners = new Set();
    model.on("change:draft", () => this.#adopt(model.get("draft")));
    for (const trait of TRAITS) model.on(`change:${trait}`, () => this.#tell());
    model.on("msg:custom", (message) => this.#take(message));
    this.send({ do: "hello" });
  }

  get(trait) {
    return this.model.get(trait);
  }

  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  // A typed value: shown at once, sent after a pause of `wait` ms.
  set(key, value, wait = 0) {
    this.draft = { ...this.draft, [key]: value };
    this.unseen[key] = Infinity;
    this.#later(`set:${key}`, wait, () => {
      // numbered when it leaves: a field that waits longer must not count as seen with one that left before it
      this.unseen[key] = ++this.seq;
      this.send({ do: "set", key, value, seq: this.seq });
    });
    this.#tell();
  }

  edit(path, text) {
    this.#later(`edit:${path}`, 300, () => this.send({ do: "edit", path, text }));
  }

  // A wish: everything typed before it is sent first.
  wish(wish, buffers) {
    this.flush();
    this.send(wish, buffers);
  }

  flush() {
    for (const { timer, run } of Object.values(this.timers)) {
      clearTimeout(timer);
      run();
    }
    this.timers = {};
  }

  send(message, buffers) {
    this.model.send(message, undefined, buffers);
  }

  touch(field) {
    if (this.touched.has(field)) return;
    this.touched.add(field);
    this.#tell();
  }

  // Build, or be told the first field that has a problem. The kernel decides: it alone has seen the last edit.
  build(onProblem) {
    this.attempted = true;
    this.onProblem = onProblem;
    this.wish({ do: "build" });
    this.#tell();
  }

  // Problems to show beside a field; a field that nobody touched is not scolded.
  shown(field) {
    if (!this.attempted && !this.touched.has(field)) return [];
    return this.get("problems").filter((problem) => problem.field === field);
  }

  #later(key, wait, run) {
    clearTimeout(this.timers[key]?.timer);
    const once = () => {
      delete this.timers[key];
      run();
    };
    this.timers[key] = { timer: setTimeout(once, wait), run };
  }

  #adopt(draft) {
    const mine = {};
    for (const [key, seq] of Object.entries(this.unseen)) {
      if (seq > draft._seq) mine[key] = this.draft[key];
      else delete this.unseen[key];
    }
    this.draft = { ...draft, ...mine };
    this.seq = Math.max(this.seq, draft._seq);
    this.#tell();
  }

  #take(message) {
    if (message.problem) this.onProblem?.(message.problem);
    if (!message.log) return;
    const lines = message.fresh ? message.lines : this.logs[message.log].concat(message.lines);
    this.logs = { ...this.logs, [message.log]: lines.slice(-KEPT_LINES) };
    this.#tell();
  }

  #tell() {
    if (this.telling) return;
    this.telling = true;
    queueMicrotask(() => {
      this.telling = false;
      for (const listener of this.listeners) listener();
    });
  }
}
