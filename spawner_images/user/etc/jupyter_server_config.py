"""The user server: what Lab, terminal and Voila do and do not do. Read by JupyterLab and by jupyterhub-singleuser."""

c = get_config()  # noqa: F821 - Jupyter provides it

c.ServerApp.root_dir = "/home/lab"
c.ServerApp.ip = "0.0.0.0"  # noqa: S104 - inside a container; the lab decides who reaches it
c.ServerApp.open_browser = False
c.ServerApp.terminado_settings = {"shell_command": ["/bin/bash"]}
c.LabApp.default_url = "/lab/tree/lessons/01-first-readings.ipynb"
c.LabApp.extension_manager = "readonly"
c.LabApp.news_url = None
c.LabApp.check_for_updates_class = "jupyterlab.NeverCheckForUpdate"

# Voila leaves the kernel of a closed page running. `cull_connected` stays off: a notebook that is open keeps its
# kernel, and so does a dashboard that somebody looks at.
c.MappingKernelManager.cull_idle_timeout = 1200
c.MappingKernelManager.cull_interval = 60
c.MappingKernelManager.cull_connected = False
c.MappingKernelManager.cull_busy = False
c.TerminalManager.cull_inactive_timeout = 24 * 3600

c.VoilaConfiguration.template = "cyberlab"
c.VoilaConfiguration.file_allowlist = [r".*\.(png|jpg|gif|svg|webp)"]
c.VoilaConfiguration.extension_denylist = [
    "@jupyter-notebook/lab-extension",
    "@jupyter-server/resource-usage",  # a status bar, which a dashboard has not
    "cyberlab-launcher",
]
c.VoilaConfiguration.show_tracebacks = True

# What the status bar shows: memory (the limit comes as MEM_LIMIT) and the home, which is a disk of its own.
c.ResourceUseDisplay.track_disk_usage = True
c.ResourceUseDisplay.disk_path = "/home/lab"
c.ResourceUseDisplay.mem_warning_threshold = 0.15
c.ResourceUseDisplay.disk_warning_threshold = 0.1
c.ResourceUseDisplay.show_host_usage = False
c.ResourceUseDisplay.enable_prometheus_metrics = False
