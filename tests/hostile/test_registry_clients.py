"""Students' own clients reach the owner's images, and nobody else's: skopeo, and Docker itself.

Also the control of `test_registry.py`: what a true token opens.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import docker
import pytest
from cyberlab.errors import NotFound
from docker.models.containers import Container
from hostile import forged_tokens as forged
from hostile.registry_client import MANIFEST, bens, client, own_pushed
from hostile.scene import Scene, Someone


def test_a_token_signed_rightly_opens_what_the_forged_ones_do_not(scene: Scene) -> None:
    repository, digest = bens(scene)
    headers = {"Accept": MANIFEST}
    answer = client(scene).send(
        "GET", f"{repository}/manifests/{digest}", forged.signed_rightly(scene), headers=headers
    )
    assert answer.status_code == 200


@pytest.fixture(scope="module")
def trusted(scene: Scene, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for `--cert-dir`: nothing of this machine's own configuration is changed."""
    folder = tmp_path_factory.mktemp("trust")
    shutil.copy(scene.settings.certs / "ca.crt", folder / "ca.crt")
    return folder


def skopeo(trusted: Path, *words: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    if shutil.which("skopeo") is None:
        pytest.fail("skopeo is not installed: hub/bootstrap.sh --tests", pytrace=False)
    policy = trusted / "policy.json"
    policy.write_text('{"default": [{"type": "insecureAcceptAnything"}]}')
    command = ["skopeo", "--policy", str(policy), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert not check or done.returncode == 0, done.stderr
    return done


def test_skopeo_copies_pushes_and_deletes_for_the_owner_and_for_nobody_else(
    scene: Scene, trusted: Path, tmp_path: Path
) -> None:
    registry, (repository, digest) = scene.settings.registry, bens(scene)
    ben, eve = (f"{who.name}:{who.token}" for who in (scene.ben, scene.mallory))
    where, auth = f"docker://{registry}/{repository}@{digest}", tmp_path / "auth.json"
    source = ("--src-cert-dir", str(trusted))
    skopeo(trusted, "copy", *source, "--src-creds", ben, where, f"dir:{tmp_path / 'mine'}")
    assert (tmp_path / "mine" / "manifest.json").exists()
    refused = skopeo(
        trusted, "copy", *source, "--src-creds", eve, where, f"dir:{tmp_path / 'x'}", check=False
    )
    assert refused.returncode != 0
    assert "denied" in refused.stderr or "unauthorized" in refused.stderr

    target = f"docker://{registry}/{scene.ben.name}/copied:1"
    to = ("--dest-cert-dir", str(trusted))
    skopeo(trusted, "copy", *to, "--dest-creds", ben, f"dir:{tmp_path / 'mine'}", target)
    tags = skopeo(trusted, "list-tags", "--cert-dir", str(trusted), "--creds", ben, target.removesuffix(":1"))
    assert json.loads(tags.stdout)["Tags"] == ["1"]
    intruder = skopeo(
        trusted, "copy", *to, "--dest-creds", eve, f"dir:{tmp_path / 'mine'}", target, check=False
    )
    assert intruder.returncode != 0
    login = ["login", "--cert-dir", str(trusted), "--authfile", str(auth), "-u", scene.ben.name]
    skopeo(trusted, *login, "-p", scene.ben.token, registry)
    assert skopeo(trusted, *login, "-p", "wrong", registry, check=False).returncode != 0
    skopeo(trusted, "delete", "--cert-dir", str(trusted), "--authfile", str(auth), target)
    gone = skopeo(
        trusted,
        "list-tags",
        "--cert-dir",
        str(trusted),
        "--creds",
        ben,
        target.removesuffix(":1"),
        check=False,
    )
    assert gone.returncode != 0 or not json.loads(gone.stdout)["Tags"]


def test_what_was_pushed_by_hand_counts_and_is_no_image_of_the_lab(scene: Scene) -> None:
    repository, _ = own_pushed(scene)
    used = {row.quota: row for row in scene.mallory.lab.quotas()}
    assert used["gigabytes"].in_use is not None
    names = [image.name for image in scene.mallory.lab.images()]
    assert repository.partition("/")[2] not in names
    with pytest.raises(NotFound):
        scene.mallory.lab.start_trial("by-hand")


def docker_in(container: Container, folder: str, *words: str, secret: str = "") -> tuple[int, str]:
    """Docker's own client, inside a simulated Pi: that engine trusts the registry, the host's does not."""
    command = ["docker", "--config", folder, *words]
    if secret:
        command = ["sh", "-c", 'secret="$1"; shift; printf %s "$secret" | "$@"', "sh", secret, *command]
    done = container.exec_run(command)
    return int(done.exit_code), done.output.decode(errors="replace")


def test_docker_logs_in_and_pulls_for_the_owner_and_for_nobody_else(scene: Scene) -> None:
    registry, (repository, _) = scene.settings.registry, bens(scene)
    pi = docker.from_env().containers.get(f"{scene.settings.name}-pi01")
    # by its tag: what an engine has already, it does not ask the registry for by digest
    image = f"{registry}/{repository}:{scene.ben.image.partition(':')[2]}"

    def sign_in(who: Someone, password: str) -> int:
        words = ("login", registry, "-u", who.name, "--password-stdin")
        return docker_in(pi, f"/root/docker-{who.name}", *words, secret=password)[0]

    try:
        assert sign_in(scene.ben, "wrong") != 0
        for who in (scene.ben, scene.mallory):
            assert sign_in(who, who.token) == 0
        code, said = docker_in(pi, f"/root/docker-{scene.mallory.name}", "pull", image)
        assert code != 0
        assert "denied" in said or "unauthorized" in said
        code, said = docker_in(pi, f"/root/docker-{scene.ben.name}", "pull", image)
        assert code == 0, said
        docker_in(pi, "/root", "tag", image, f"{registry}/{scene.ben.name}/from-docker:1")
        code, said = docker_in(
            pi, f"/root/docker-{scene.mallory.name}", "push", f"{registry}/{scene.ben.name}/from-docker:1"
        )
        assert code != 0, said
    finally:
        for reference in (f"{registry}/{scene.ben.name}/from-docker:1", image):
            docker_in(
                pi, "/root", "rmi", reference
            )  # refused where the deployment runs from it: that one stays
        for who in (scene.ben, scene.mallory):
            pi.exec_run(["rm", "-rf", f"/root/docker-{who.name}"])
