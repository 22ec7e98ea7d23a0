"""The hub's wiring. What a thing does stands in `cyberlab_hub`; here it only gets its place."""

import os
import sys
from pathlib import Path

import cyberlab_hub
from cyberlab_hub import accounts, address, elsewhere, settings, spawner
from cyberlab_hub.audit_notes import HubNotes
from cyberlab_hub.setup.processes import PART
from cyberlab_hub.signin import LabAuthenticator

os.umask(0o077)  # the database and the secrets are for the lab alone

c = get_config()
lab = settings.load()
run = lab.state / "run"
run.mkdir(parents=True, exist_ok=True)
templates = Path(cyberlab_hub.__file__).parent / "templates"

# ---- where it listens: the proxy in public, the hub itself on the users' network only
secure = lab.tls_mode != "off"
c.JupyterHub.bind_url = f"{'https' if secure else 'http'}://{lab.bind}:{lab.hub_port}"
if secure:
    c.JupyterHub.ssl_cert, c.JupyterHub.ssl_key = map(str, lab.tls_files)
hub_url = lab.hub_api_url.removesuffix("/hub/api")
c.JupyterHub.hub_bind_url = c.JupyterHub.hub_connect_url = hub_url
c.ConfigurableHTTPProxy.command = [str(lab.state / "node/node_modules/.bin/configurable-http-proxy")]
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{lab.hub_port + 1}"
c.ConfigurableHTTPProxy.pid_file = str(run / "proxy.pid")
c.ConfigurableHTTPProxy.auth_token = accounts.own_secret(lab, "proxy.token")

# ---- one origin for each user: pages of NAME.HOST can touch neither the hub nor another user's server
origins = address.origins(lab)
if origins.each:
    c.JupyterHub.subdomain_host = lab.public_url
    # the hub answers under its own name only; every other name is led there
    c.JupyterHub.hub_routespec = f"{lab.public_host}/"
    c.ConfigurableHTTPProxy.command += [
        "--default-target",
        hub_url + elsewhere.PATH,
    ]
    c.JupyterHub.extra_handlers = [(r"/elsewhere(?:/.*)?", elsewhere.ElsewhereHandler)]
    # the lab service takes no cookie, so it keeps its address below the lab's name
    c.Proxy.extra_routes = {f"{lab.public_host}/services/lab/": lab.lab_url}
elif lab.host:
    c.JupyterHub.public_url = f"{lab.public_url}/"
c.JupyterHub.template_vars = {"lab_warnings": address.warnings(lab)}

# ---- what it keeps
c.JupyterHub.db_url = f"sqlite:///{lab.state / 'jupyterhub.sqlite'}"
c.JupyterHub.cookie_secret_file = str(lab.secrets / "cookie")
c.JupyterHub.cleanup_servers = False  # user servers outlive a restart of the hub
# ---- cookies: never over plain HTTP where there is TLS, never along with a request from another site
cookies = {"samesite": "Lax", "secure": secure}
c.JupyterHub.cookie_host_prefix_enabled = secure and origins.each  # a user's page cannot plant one
c.JupyterHub.tornado_settings = {
    "slow_spawn_timeout": 1,  # a start answers soon and is watched, not waited for
    "cookie_options": dict(cookies),
    "xsrf_cookie_kwargs": {**cookies, "httponly": True},  # the hub's pages carry the token themselves
    "headers": {
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "same-origin",
        # a given certificate is one that browsers trust already: from now on they insist on it
        **({"Strict-Transport-Security": "max-age=31536000"} if lab.tls_mode == "given" else {}),
    },
}

# ---- pages
c.JupyterHub.template_paths = [str(templates)]
c.JupyterHub.logo_file = str(templates / "logo.svg")

# ---- who may come in
c.JupyterHub.authenticator_class = LabAuthenticator
LabAuthenticator.notes = HubNotes(lab)
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
        # a service gets few variables of the hub's: with this one `down` finds what a killed hub has left
        "environment": {PART: os.environ.get(PART, "")},
    },
]

# ---- user servers
spawner.configure(c, lab)
