"""The hub's wiring. What a thing does stands in `cyberlab_hub`; here it only gets its place."""

import os
import sys
from pathlib import Path

import cyberlab_hub
from cyberlab_hub import accounts, settings, spawner
from cyberlab_hub.signin import LabAuthenticator

os.umask(0o077)  # the database and the secrets are for the lab alone

c = get_config()
lab = settings.load()
run = lab.state / "run"
run.mkdir(parents=True, exist_ok=True)
templates = Path(cyberlab_hub.__file__).parent / "templates"

# ---- where it listens: the proxy in public, the hub itself on the users' network only
c.JupyterHub.bind_url = f"http://{lab.bind}:{lab.hub_port}"
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = lab.hub_api_url.removesuffix("/hub/api")
c.ConfigurableHTTPProxy.command = [str(lab.state / "node/node_modules/.bin/configurable-http-proxy")]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{lab.hub_port + 1}"
c.ConfigurableHTTPProxy.pid_file = str(run / "proxy.pid")
c.ConfigurableHTTPProxy.auth_token = accounts.own_secret(lab, "proxy.token")

# ---- what it keeps
c.JupyterHub.db_url = f"sqlite:///{lab.state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(lab.secrets / "cookie")
c.JupyterHub.cleanup_servers = False  # user servers outlive a restart of the hub
c.JupyterHub.tornado_settings = {
    "slow_spawn_timeout": 1
}  # a start answers soon and is watched, not waited for

# ---- pages
c.JupyterHub.template_paths = [str(templates)]
c.JupyterHub.logo_file = str(templates / "logo.svg")

# ---- who may come in
c.JupyterHub.authenticator_class = LabAuthenticator
c.Authenticator.allow_all = True  # approval is the gate
c.NativeAuthenticator.enable_signup = True
c.NativeAuthenticator.allowed_failed_logins = 5
c.NativeAuthenticator.seconds_before_next_try = 600

# ---- what they may do
c.JupyterHub.custom_scopes = accounts.SCOPES
c.JupyterHub.extra_user_scopes = {accounts.USE}
c.JupyterHub.load_groups = {accounts.ADMINS: {"users": []}}
c.JupyterHub.load_roles = [
    {
        "name": "cyberlab-admin",
        "description": "Administers the lab",
        "scopes": [accounts.ADMINISTER],
        "groups": [accounts.ADMINS],
    },
    {
        "name": "cyberlab-service",
        "description": "The lab service: may know which users exist",
        "scopes": ["list:users", "read:users:name"],
        "services": ["lab"],
    },
    {
        "name": "idle-culler",
        "description": "Stops servers that nobody uses",
        "scopes": ["list:users", "read:users:activity", "read:servers", "delete:servers"],
        "services": ["idle-culler"],
    },
]
c.JupyterHub.services = [
    {"name": "lab", "url": lab.lab_url, "api_token": lab.secret("hub-lab.token"), "display": False},
    {
        "name": "idle-culler",
        "command": [
            sys.executable,
            "-m",
            "jupyterhub_idle_culler",
            f"--timeout={lab.server_idle_minutes * 60}",
        ],
    },
]

# ---- user servers
spawner.configure(c, lab)
