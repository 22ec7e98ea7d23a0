"""What the agent costs a device: its own statistics once a second, and a container with 10 sensors at 10 Hz.

Resident memory and processor share of the agent's process alone, with a real gateway and InfluxDB, all of this machine.

    python bench/agent.py [seconds]
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1] / part) for part in ("bench", "tests", "tests/contract")]
from gateway_process import make_gateway, set_up  # noqa: E402 - found by the line above
from ingest import cpu_seconds, resident_mb  # noqa: E402 - the same

SENSORS, HERTZ = 10, 10
GOAL_MB, GOAL_PERCENT = 40, 3
PROGRAM = f"""
import time
from cyberlab_edge import publish
due = time.monotonic()
while True:
    for sensor in range({SENSORS}):
        publish("bench", time.time() % 7, "1", sensor=f"s{{sensor}}")
    due += 1 / {HERTZ}
    time.sleep(max(0.0, due - time.monotonic()))
"""


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        gateway = make_gateway(folder)
        with gateway.influx.running():
            set_up(gateway)
            with gateway.running():
                config = gateway.enrol(folder / "pi01", interval_s=1.0)
                intake = json.loads(config.read_text())["intake"]
                agent = subprocess.Popen(
                    [sys.executable, "-m", "cyberlab_edge.agent", "--config", str(config)]
                )
                env = {**gateway.env(gateway.token("anna")), "CYBERLAB_GATEWAY": f"http://{intake}"}
                program = subprocess.Popen([sys.executable, "-c", PROGRAM], env=env)
                try:
                    time.sleep(5)  # started, and every kind of work done once
                    begun, used = time.perf_counter(), cpu_seconds(agent.pid)
                    time.sleep(seconds)
                    percent = 100 * (cpu_seconds(agent.pid) - used) / (time.perf_counter() - begun)
                    resident = resident_mb(agent.pid)
                finally:
                    for process in (program, agent):
                        process.terminate()
                        process.wait(10)
                arrived = len(gateway.read("anna", "bench"))
    expected = round((seconds + 4) * SENSORS * HERTZ)
    print(f"agent: {resident:.1f} MB resident, {percent:.2f} % of one core; {arrived} points arrived")
    if arrived < expected:
        raise SystemExit(f"only {arrived} of {expected} points arrived: the figures are of something else")
    print(
        json.dumps({"bench": "agent", "resident_mb": round(resident, 1), "core_percent": round(percent, 2)})
    )
    print(f"goal: under {GOAL_MB} MB and {GOAL_PERCENT} % of a core")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 30.0)
