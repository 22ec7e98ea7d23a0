from __future__ import annotations

import pytest
import spec_samples
from cyberlab.wire import Catalogue


@pytest.fixture(scope="session")
def catalogue() -> Catalogue:
    """The seed of the catalogue, in a lab that also has hardware."""
    return spec_samples.catalogue()
