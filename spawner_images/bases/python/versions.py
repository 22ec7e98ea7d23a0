"""Write /usr/share/cyberlab/versions.json: what is really inside this image, for the catalogue.

Run at the end of a base's Dockerfile, with the names of the distributions worth showing.
"""

import json
import platform
import sys
from importlib.metadata import version
from pathlib import Path

found = {"Python": platform.python_version(), **{name: version(name) for name in sys.argv[1:]}}
found["Debian"] = Path("/etc/debian_version").read_text().strip()

target = Path("/usr/share/cyberlab/versions.json")
target.parent.mkdir(parents=True, exist_ok=True)
target.write_text(json.dumps(found) + "\n")
