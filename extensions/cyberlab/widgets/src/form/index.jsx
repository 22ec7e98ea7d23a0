// The image form. `default` is called once a model, so that all views of one form share one store.
import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { Dockerfile } from "./dockerfile.jsx";
import { Problems } from "./field.jsx";
import { keepKeys } from "../keys.js";
import "./form.css";
import { Libraries } from "./libraries.jsx";
import { Program } from "./program.jsx";
import { Settings } from "./settings.jsx";
import { Start } from "./start.jsx";
import { Steps } from "./steps.jsx";
import { Store } from "./store.js";

const OFFERS = { build: "A build", trial: "A trial", deploy: "A deployment" };

function Form({ store, root }) {
  const [, draw] = useState(0);
  useEffect(() => store.subscribe(() => draw((count) => count + 1)), [store]);
  const focusField = (field) => requestAnimationFrame(() => focus(root, field));
  const notice = store.get("notice");
  const loaded = (store.get("catalogue").bases ?? []).length > 0;
  return (
    <form class="cl-form" aria-label="Image form" onSubmit={(event) => event.preventDefault()}>
      {notice && (
        <div class="cl-error cl-notice" role="alert">
          <p>{notice}</p>
          <button type="button" class="cl-button" onClick={() => store.wish({ do: "refresh" })}>Try again</button>
        </div>
      )}
      {store.get("offers").map((offer) => (
        <div key={offer.id} class="cl-offer" role="status">
          <span>{OFFERS[offer.kind]} of <b>{offer.name}</b> is still going on in the lab.</span>
          <button type="button" class="cl-button cl-small" onClick={() => store.wish({ do: "watch", job: offer.id })}>Watch it</button>
        </div>
      ))}
      {loaded && (
        <>
          <div class="cl-columns">
            <div class="cl-main">
              <Start store={store} />
              <Libraries store={store} />
              <Program store={store} />
              <Settings store={store} />
            </div>
            <Dockerfile store={store} />
          </div>
          <div data-field="form" tabIndex={-1}><Problems problems={store.shown("form")} /></div>
          <Steps store={store} focusField={focusField} />
        </>
      )}
    </form>
  );
}

function focus(root, field) {
  const place = root.querySelector(`[data-field="${CSS.escape(field)}"]`) ?? root.querySelector(`[data-field="${CSS.escape(field.split(".")[0])}"]`);
  if (!place) return;
  place.closest("details")?.setAttribute("open", "");
  place.scrollIntoView({ block: "center", behavior: "smooth" });
  place.focus({ preventScroll: true });
}

export default () => {
  let store;
  return {
    initialize({ model }) {
      store = new Store(model);
    },
    render({ model, el }) {
      store ??= new Store(model);
      el.classList.add("cl-root");
      keepKeys(el);
      render(<Form store={store} root={el} />, el);
      return () => render(null, el);
    },
  };
};
