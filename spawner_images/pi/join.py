"""Join this engine to the swarm named on standard input, or just tell its node id.

Input: ``{}`` or ``{"manager": "host:port", "token": "..."}`` as JSON. Output: the node id. Run inside a (simulated) Pi,
so that the join token is neither an argument nor an environment variable.
"""

import http.client
import json
import socket
import sys


class Engine(http.client.HTTPConnection):
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(60)
        self.sock.connect("/var/run/docker.sock")


def call(method: str, path: str, body: object = None) -> object:
    engine = Engine("engine")
    engine.request(
        method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"}
    )
    answer = engine.getresponse()
    text = answer.read().decode()
    if answer.status >= 400:
        sys.exit(f"{answer.status}: {text}")
    return json.loads(text) if text.strip() else None


def main() -> None:
    order = json.load(sys.stdin)
    swarm = call("GET", "/info")["Swarm"]
    wanted = order.get("manager")
    if wanted and swarm["LocalNodeState"] not in ("inactive", ""):
        call("POST", "/swarm/leave?force=1")
        swarm = {"LocalNodeState": "inactive"}
    if wanted:
        body = {"ListenAddr": "0.0.0.0:2377", "RemoteAddrs": [wanted], "JoinToken": order["token"]}
        call("POST", "/swarm/join", body)
        swarm = call("GET", "/info")["Swarm"]
    print(swarm.get("NodeID", ""))


main()
