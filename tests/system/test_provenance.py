"""On the real lab: readings of two versions of one deployment, after it was stopped and its images deleted, lead to the
code that wrote each; then they are exported and forgotten."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from cyberlab import Lab
from system.conftest import counter_spec

pytestmark = pytest.mark.engine


def test_from_readings_to_the_code_that_is_gone(student: Lab, tmp_path: Path) -> None:
    device = min(d.name for d in student.devices() if d.state == "ready")
    specs = [counter_spec("traced", "traced-one"), counter_spec("traced", "traced-two")]
    frames: dict[str, pd.DataFrame] = {}
    for spec, measurement in zip(specs, ("traced-one", "traced-two"), strict=True):
        image = student.build(spec, show=False)
        student.deploy(image, name="traced", devices=[device], show=False)
        frames[measurement] = student.wait_for(measurement, devices=[device], timeout=60)
    student.stop("traced")
    for image in student.images():
        if image.name == "traced":
            student.delete_image(image)

    for number, (measurement, spec) in enumerate(zip(frames, specs, strict=True), 1):
        origins = student.provenance(frames[measurement])
        mine = next(one for one in origins if one.image.endswith(f"/traced:{number}"))
        assert (mine.author, mine.devices) == (student.user, (device,))
        assert mine.digest.startswith("sha256:")
        assert mine.dockerfile.startswith("#")
        assert [file.text for file in student.source(mine).files] == [spec.files[0].text]
    assert student.provenance(frames["traced-two"])[-1].stopped

    readings = student.read("traced-two", start="-1h", layout="long")
    path = student.export("traced-two", tmp_path / "two.csv", start="-1h")
    assert len(pd.read_csv(path)) == len(readings) > 0
    assert student.forget("traced-two").readings == len(readings)
    assert student.forget("traced-two", really=True).done
    assert [one.measurement for one in student.measurements() if one.measurement == "traced-two"] == []
    assert len(student.read("traced-one", start="-1h", layout="long"))
