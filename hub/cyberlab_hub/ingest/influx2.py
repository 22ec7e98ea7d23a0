"""InfluxDB 2.x: a bucket an owner, mapped for InfluxQL, and a token for each reader.

A token's rights cannot be changed and its text cannot be read again (2.9 keeps hashes only). So a reader's token is
made by this process when first needed and held in memory only; making it again carries over the buckets of the
one before, which InfluxDB remembers, and deletes that one. Written to the documented API of 2.x and tested
against a stand-in for it, never against a real 2.x server.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import urllib3
from cyberlab.wire import Measurement, RefusedLine
from influxdb_client import (
    Authorization,
    DBRPCreate,
    DBRPsService,
    InfluxDBClient,
    Permission,
    PermissionResource,
)
from influxdb_client.rest import ApiException

from cyberlab_hub.errors import NotAllowed, NotFound, PartDown, QueryRefused
from cyberlab_hub.ingest import influx_means
from cyberlab_hub.ingest.influx import DOWN, NOT_SHARED, Influx, LoginRefused
from cyberlab_hub.ingest.influx_delete import count_statement, counted
from cyberlab_hub.ingest.store import COMMON, OWNED, Means, Selection, database_of

T = TypeVar("T")


class Influx2Store:
    """`Store` on one organisation of an InfluxDB 2.x."""

    def __init__(self, url: str, token: str, org: str) -> None:
        """`token` may read and write buckets, authorizations and DBRP mappings of `org`."""
        self._influx = Influx(url, "/api/v2/write")
        self._client = InfluxDBClient(url, token=token, org=org, timeout=30_000)
        self._org = org
        self._admin = {"Authorization": f"Token {token}"}
        self._buckets: dict[str, str] = {}
        """Id of each bucket known to exist, by name."""
        self._tokens: dict[str, str] = {}
        self._lock = threading.RLock()

    def close(self) -> None:
        self._influx.close()
        self._client.close()

    def ping(self) -> str:
        return self._influx.ping()

    # ------------------------------------------------------------ making
    def set_up(self) -> None:
        for name in COMMON:
            self._bucket(name)

    def ensure_owner(self, owner: str) -> None:
        self._bucket(database_of(owner))

    def share(self, owner: str, reader: str) -> None:
        bucket = self._bucket(database_of(owner))
        self._renew(reader, lambda readable: readable | {bucket})

    def unshare(self, owner: str, reader: str) -> None:
        if owner == reader:
            return
        bucket = self._bucket(database_of(owner))
        self._renew(reader, lambda readable: readable - {bucket})

    # ------------------------------------------------------------ points
    def write(self, database: str, body: bytes) -> tuple[RefusedLine, ...]:
        params = {"org": self._org, "bucket": database, "precision": "ns"}
        try:
            return self._influx.write(params, self._admin, body)
        except NotFound:
            with self._lock:
                self._buckets.clear()
            raise
        except LoginRefused as error:
            raise _admin_refused() from error

    def query(self, reader: str, database: str, influxql: str) -> Iterator[bytes]:
        return self._as_reader(reader, lambda login: self._influx.stream(database, influxql, login))

    def measurements(self, reader: str, database: str) -> tuple[Measurement, ...]:
        return self._as_reader(reader, lambda login: self._influx.measurements(database, login))

    # ------------------------------------------------------------ keeping and forgetting
    def count(self, database: str, where: Selection) -> int:
        if not where:
            return 0
        return counted(self._asked(count_statement(where), database))

    def _asked(self, statement: str, database: str) -> list[dict[str, Any]]:
        self._bucket(database)
        try:
            return self._influx.ask(database, statement, self._admin, method="GET", timeout=240)
        except LoginRefused as error:
            raise _admin_refused() from error

    def delete(self, database: str, where: Selection) -> None:
        measurement = [] if where.measurement is None else [f"_measurement={_quoted(where.measurement)}"]
        bucket = self._bucket(database)
        for device in (where.devices or (None,)) if where else ():
            parts = [*measurement, *([] if device is None else [f"device={_quoted(device)}"])]
            with _translated():
                # its stop is included
                self._client.delete_api().delete(
                    rfc3339(where.start), rfc3339(where.stop - 1), " AND ".join(parts), bucket, self._org
                )

    def first(self, database: str, measurement: str, since: int, until: int) -> int | None:
        return influx_means.first_time(
            self._asked(influx_means.first_statement(measurement, since, until), database)
        )

    def make_means(self, database: str, means: Means) -> None:
        fields = influx_means.numeric(self._asked(influx_means.fields_statement(means.measurement), database))
        made: dict[str, list[str]] = {}
        for kind, field, _ in influx_means.columns(fields):
            made.setdefault(kind, []).append(field)
        for kind, wanted in made.items():
            where = {"_bucket": database, "_org": self._org}
            parameters = {**where, **influx_means.flux_parameters(means, kind, wanted)}
            with _translated():
                self._client.query_api().query_raw(influx_means.flux(kind), org=self._org, params=parameters)

    def spaces(self) -> dict[str, int] | None:
        """As its metrics say, if the server shows them."""
        sizes = self._influx.metric_sums("storage_shard_disk_size", "bucket")
        if sizes is None:
            return None
        with _translated():
            buckets = list(self._client.buckets_api().find_buckets_iter(org=self._org))
        return {bucket.name: sizes.get(str(bucket.id), 0) for bucket in buckets}

    def databases(self) -> tuple[str, ...]:
        with _translated():
            found = [bucket.name for bucket in self._client.buckets_api().find_buckets_iter(org=self._org)]
        return tuple(sorted(name for name in found if name.startswith(OWNED)))

    def drop(self, database: str) -> None:
        if not database.startswith(OWNED):
            raise ValueError(f"{database!r} is no owner's")
        with self._lock, _translated():
            api = self._client.authorizations_api()
            for one in api.find_authorizations(org=self._org):
                if one.description == _reader(database):
                    api.delete_authorization(one)
            bucket = self._client.buckets_api().find_bucket_by_name(database)
            if bucket is not None:
                mappings = DBRPsService(self._client.api_client)
                for mapping in (
                    mappings.get_dbr_ps(org=self._org, db=database, bucket_id=bucket.id).content or ()
                ):
                    mappings.delete_dbrpid(mapping.id, org=self._org)
                self._client.buckets_api().delete_bucket(bucket)
            self._buckets.pop(database, None)
            self._tokens = {owner: t for owner, t in self._tokens.items() if database_of(owner) != database}

    def _as_reader(self, reader: str, call: Callable[[dict[str, str]], T]) -> T:
        with self._lock:
            token = self._tokens.get(reader) or self._renew(reader, lambda readable: readable)
        try:
            try:
                return call({"Authorization": f"Token {token}"})
            except LoginRefused:  # deleted by somebody, or by another process of the lab
                token = self._renew(reader, lambda readable: readable)
                return call({"Authorization": f"Token {token}"})
        except LoginRefused as error:
            raise PartDown("database-down", "InfluxDB does not accept the lab's token for you.") from error
        except QueryRefused as error:
            # 2.x hides what one may not read: the mapping of such a bucket is "not found"
            if "database not found" in error.message or "unauthorized" in error.message:
                raise NotAllowed("database-not-shared", NOT_SHARED) from error
            raise

    # ------------------------------------------------------------ administration
    def _bucket(self, name: str) -> str:
        """Id of the bucket `name`, made with its mapping if it is missing."""
        with self._lock:
            if name in self._buckets:
                return self._buckets[name]
            with _translated():
                buckets = self._client.buckets_api()
                bucket = buckets.find_bucket_by_name(name) or buckets.create_bucket(bucket_name=name)
                mappings = DBRPsService(self._client.api_client)
                if not mappings.get_dbr_ps(org=self._org, db=name, bucket_id=bucket.id).content:
                    mappings.post_dbrp(
                        DBRPCreate(
                            org=self._org,
                            bucket_id=bucket.id,
                            database=name,
                            retention_policy="autogen",
                            default=True,
                        )
                    )
            self._buckets[name] = str(bucket.id)
            return self._buckets[name]

    def _renew(self, reader: str, change: Callable[[set[str]], set[str]]) -> str:
        """A new token for `reader`, for the buckets of their old one after `change`."""
        always = {self._bucket(name) for name in (database_of(reader), *COMMON)}
        description = _reader(database_of(reader))
        with self._lock, _translated():
            api = self._client.authorizations_api()
            old = [a for a in api.find_authorizations(org=self._org) if a.description == description]
            readable = change({bucket for one in old for bucket in _readable(one)}) | always
            bucket = self._client.buckets_api().find_bucket_by_id(next(iter(always)))
            new = api.create_authorization(
                authorization=Authorization(
                    org_id=bucket.org_id,
                    description=description,
                    permissions=[_read(one, bucket.org_id) for one in sorted(readable)],
                )
            )
            for one in old:
                api.delete_authorization(one)
            self._tokens[reader] = str(new.token)
            return self._tokens[reader]


def _reader(database: str) -> str:
    """The description of the token of that owner's reader."""
    return f"cyberlab reader {database}"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def rfc3339(ns: int) -> str:
    """Nanoseconds since 1970 as 2.x wants times."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=ns // 10**9)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{ns % 10**9:09d}Z"


def _read(bucket: str, org_id: str) -> Any:
    return Permission(action="read", resource=PermissionResource(type="buckets", id=bucket, org_id=org_id))


def _readable(authorization: Any) -> set[str]:
    return {
        permission.resource.id
        for permission in authorization.permissions
        if permission.action == "read" and permission.resource.type == "buckets" and permission.resource.id
    }


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except ApiException as error:
        if error.status in (401, 403):
            raise _admin_refused() from error
        raise PartDown("database-down", f"{DOWN} (It answered {error.status} to the lab.)") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise PartDown("database-down", DOWN) from error


def _admin_refused() -> PartDown:
    return PartDown(
        "database-down",
        "InfluxDB answers but does not accept the lab's token (state/secrets/influx.token), or the token may not "
        "make buckets and tokens. The operator must put an all-access token of the organisation there.",
    )
