// Cards of the lab in the launcher. This is what webpack's module federation would generate, by hand:
// JupyterLab calls `init` with its shared modules and `get` for our one module.
(() => {
  let shared;

  const module = async (name) => {
    const versions = Object.values(shared[name] ?? {});
    return (await versions[0].get())();
  };

  const icon = (path) =>
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" width="24"><g style="fill: none" stroke="#1976d2" stroke-width="1.8" stroke-linecap="round" stroke-linejoin="round">${path}</g></svg>`;

  const CARDS = [
    {
      id: "cyberlab:lesson-01",
      label: "Lesson 1",
      caption: "First readings: from a form to a chart",
      icon: icon('<path d="M4 5.5C6.5 4 9.5 4 12 5.5c2.5-1.5 5.5-1.5 8 0V19c-2.5-1.5-5.5-1.5-8 0-2.5-1.5-5.5-1.5-8 0zM12 5.5V19"/>'),
      open: (app) => app.commands.execute("docmanager:open", { path: "lessons/01-first-readings.ipynb" }),
    },
    {
      id: "cyberlab:sensors",
      label: "Sensors",
      caption: "Your readings, live, on a page of its own",
      icon: icon('<path d="M3 19h18M4 15l4-6 4 4 4-8 4 6"/>'),
      open: (app, base) => window.open(`${base}voila/render/dashboards/sensors.ipynb`, "_blank", "noopener"),
    },
  ];

  const extension = async () => {
    const { ILauncher } = await module("@jupyterlab/launcher");
    const { PageConfig } = await module("@jupyterlab/coreutils");
    const { LabIcon } = await module("@jupyterlab/ui-components");
    return {
      id: "cyberlab-launcher:cards",
      autoStart: true,
      requires: [ILauncher],
      activate: (app, launcher) => {
        CARDS.forEach((card, rank) => {
          app.commands.addCommand(card.id, {
            label: card.label,
            caption: card.caption,
            icon: new LabIcon({ name: card.id, svgstr: card.icon }),
            execute: () => card.open(app, PageConfig.getBaseUrl()),
          });
          launcher.add({ command: card.id, category: "Lab", rank });
        });
      },
    };
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB["cyberlab-launcher"] = {
    init: (scope) => { shared = scope; },
    get: async () => {
      const plugin = await extension();
      return () => ({ __esModule: true, default: plugin });
    },
  };
})();
