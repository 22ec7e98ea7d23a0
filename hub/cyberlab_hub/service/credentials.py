"""The secrets of a deployment: its ingest token, and a registry account that pulls its one repository.

Both are made for each run of `deploy`, and only their hashes are kept. Those of earlier runs stay valid until a newer
one has succeeded, so a failed update does not silence what still runs.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, field

from sqlalchemy import delete, update

from cyberlab_hub.service.database import Database
from cyberlab_hub.service.models import IngestToken, PullAccount, now
from cyberlab_hub.service.mqtt_logins import password_hash


@dataclass(frozen=True)
class DeploymentSecrets:
    token: str = field(repr=False)
    pull_user: str
    pull_password: str = field(repr=False)


def hashed(secret: str) -> str:
    """SHA-256, hex: what the tables hold of a token or a password."""
    return hashlib.sha256(secret.encode()).hexdigest()


class Credentials:
    def __init__(self, database: Database) -> None:
        self._database = database

    def issue(
        self, deployment: str, owner: str, name: str, devices: list[str], repository: str
    ) -> DeploymentSecrets:
        """New secrets for one run of `deploy`."""
        made = DeploymentSecrets(
            secrets.token_urlsafe(32), f"{deployment}-{secrets.token_hex(4)}", secrets.token_urlsafe(32)
        )
        with self._database.session() as session:
            session.add(
                IngestToken(
                    hash=hashed(made.token),
                    kind="deployment",
                    owner=owner,
                    deployment=deployment,
                    name=name,
                    devices=devices,
                    created=now(),
                    mqtt=password_hash(made.token),
                )
            )
            session.add(
                PullAccount(
                    username=made.pull_user,
                    hash=hashed(made.pull_password),
                    repository=repository,
                    deployment=deployment,
                    created=now(),
                )
            )
        return made

    def revoke(self, deployment: str, keep: DeploymentSecrets | None = None) -> None:
        """End all secrets of a deployment, except those of the run that has just succeeded."""
        tokens = update(IngestToken).where(
            IngestToken.deployment == deployment, IngestToken.revoked.is_(None)
        )
        accounts = delete(PullAccount).where(PullAccount.deployment == deployment)
        if keep is not None:
            tokens = tokens.where(IngestToken.hash != hashed(keep.token))
            accounts = accounts.where(PullAccount.username != keep.pull_user)
        with self._database.session() as session:
            session.execute(tokens.values(revoked=now()))
            session.execute(accounts)

    def pulls(self, username: str, password: str) -> str | None:
        """The repository that this account may pull; None when the account or the password is wrong."""
        with self._database.session() as session:
            account = session.get(PullAccount, username)
        if account is None or not secrets.compare_digest(account.hash, hashed(password)):
            return None
        return account.repository
