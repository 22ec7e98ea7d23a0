"""What a student sees in JupyterLab and in Voila: the image form and the live sensor dashboard.

Each widget is one traitlets model in Python and one anywidget module in the browser. `image_form.js`, `sensors.js`
and their style sheets are made by esbuild from `src/` (``npm --prefix extensions/cyberlab/widgets/src run build``)
and committed, so nothing is fetched and nothing is built where the lab runs.

Everything slow happens in threads. A worker never touches a trait directly: it goes through `WorkPanel`
or `LiveLoop`, which hold one lock for each widget, so that a handler on the kernel's main thread (or on a
subshell, while a cell runs) and a worker never interleave inside an update.
"""

from cyberlab.widgets.image_form import ImageForm
from cyberlab.widgets.sensors import SensorDashboard

__all__ = ["ImageForm", "SensorDashboard"]
