"""Fixtures of the contract tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from service_lab import ServiceLab, service_lab


@pytest.fixture
def service(tmp_path: Path) -> Iterator[ServiceLab]:
    """A lab service on fakes, on its own database and port."""
    with service_lab(tmp_path) as lab:
        yield lab
