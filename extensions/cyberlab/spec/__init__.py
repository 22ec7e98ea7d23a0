"""The pure heart of the lab: specs, their rules and the text rendered from them. No I/O.

    image, deployment     the two specs: data, no behaviour
    problems              every rule, every problem at once; libraries, files and custom for the longer fields
    names, requirements   the forms of single values
    run                   what runs: a spec's fields over its scenario's
    dockerfile, digest    the text, and the identity of what it builds

`cyberlab.wire` imports the specs, and the rules import `cyberlab.wire` for the catalogue: so only data is
exported here.
"""

from cyberlab.spec.deployment import DeploymentSpec
from cyberlab.spec.image import FileEntry, ImageSpec

__all__ = ["DeploymentSpec", "FileEntry", "ImageSpec"]
