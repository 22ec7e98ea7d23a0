"""How a token's holder signs in at the MQTT broker: a user name for each token and device, the token as password.

The broker has its own form of a password's hash (PBKDF2 with SHA-512), which cannot be made of the hash that the lab
keeps: so it is made together with the token. Tokens are long random strings, so few rounds are enough.

A name belongs to one token for ever. So when a token is withdrawn, who is signed in with it can be told from who comes
with its successor, and what is still on its way is refused by its topic.
"""

from __future__ import annotations

import base64
import hashlib
import secrets

ROUNDS = 101
"""As `mosquitto_passwd` itself."""
SALT_BYTES = 12
"""Mosquitto 2 takes no other number."""
ID_CHARS = 16
"""Of the token's hash. 64 bits: nobody meets another's by chance, and nobody gets in by knowing one."""
ROOT = "cyberlab"
"""First level of every topic that a device may publish to."""
REFUSALS = "refused"


def password_hash(token: str) -> str:
    """What stands in the broker's file of passwords after the user's name."""
    salt = secrets.token_bytes(SALT_BYTES)
    made = hashlib.pbkdf2_hmac("sha512", token.encode(), salt, ROUNDS)
    return f"$7${ROUNDS}${base64.b64encode(salt).decode()}${base64.b64encode(made).decode()}"


def user_of(token_hash: str, device: str) -> str:
    """The user name of a token's holder on a device: ``3f9a2c1b5d7e8f90.weather``."""
    return f"{token_hash[:ID_CHARS]}.{device}"


def topic_of(owner: str, user: str = "") -> str:
    """Below this a user publishes, and nowhere else; without a user: below this all of an owner's do."""
    return f"{ROOT}/{owner}/{user}" if user else f"{ROOT}/{owner}"


def refusals_of(owner: str, user: str = "") -> str:
    """Where a user may read why a message of its own was refused."""
    return f"{REFUSALS}/{owner}/{user}" if user else f"{REFUSALS}/{owner}"
