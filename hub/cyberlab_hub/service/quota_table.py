"""The quotas there are, and how much everybody has who has no other value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Quota:
    limit: int
    """For everyone who has no other value."""
    title: str
    what: str
    """As in “You have 2 ... already”."""
    advice: str
    unit: str = ""


FOR_EVER = 36_500
"""Days from which on readings count as never too old."""
QUOTAS: Mapping[str, Quota] = {
    "builds": Quota(
        2, "Builds at once", "builds waiting or running", "Wait until one has ended, or cancel it."
    ),
    "images": Quota(50, "Images", "images", "Delete one that you do not need any more."),
    "gigabytes": Quota(
        5, "Space for images", "of images", "Delete images that you do not need any more.", "GB"
    ),
    "trials": Quota(
        2, "Trials at once", "trials waiting or running", "Wait until one has ended, or stop it."
    ),
    "deploys": Quota(
        5, "Deployments being started", "deployments being started", "Wait until one has ended, or cancel it."
    ),
    "deployments": Quota(10, "Deployments", "deployments", "Stop one that you do not need any more."),
    "devices": Quota(
        40,
        "Devices in use",
        "devices in use",
        "Choose fewer devices, or stop a deployment that you do not need.",
    ),
    "things": Quota(
        20,
        "Things that send readings",
        "things that send readings",
        "Remove one that you do not use any more.",
    ),
    "points": Quota(
        2_000,
        "Readings a second",
        "readings a second",
        "Measure less often, or fewer things, if it goes on.",
        "points/s",
    ),
    "readings": Quota(
        2,
        "Space for readings",
        "of readings",
        "Delete some (lab.forget, cyberlab forget), keep them for fewer days (lab.keep, cyberlab keep), or measure "
        "less often.",
        "GB",
    ),
    "days": Quota(
        FOR_EVER,
        "Days that readings are kept",
        "days that readings are kept",
        "Keep them for fewer days, and export what you want to have for longer.",
        "days",
    ),
    "means": Quota(
        10,
        "Measurements of means",
        "measurements of means",
        "Stop one (lab.downsample(..., every=None), cyberlab downsample NAME --off) and forget what it made.",
    ),
    "mean_days": Quota(
        FOR_EVER,
        "Days that means are kept",
        "days that means are kept",
        "Keep them for fewer days, and export what you want to have for longer.",
        "days",
    ),
    "specs": Quota(200, "Saved forms", "saved forms", "Delete one that you do not need any more."),
    "streams": Quota(20, "Logs open at once", "logs open", "Close one."),
}
"""The defaults, the only place for them. A row of the table `quota` overrides one for a user or a group."""
