"""The workshop: the only code that touches the workshop engine, its swarm and the registry.

`orders` is the seam to the lab service; `workshop.DockerWorkshop` is what stands behind it:

    engine      mTLS to the engine, every foreign exception translated (the only module that imports docker)
    bases       base images of the catalogue          builder  spec's Dockerfile -> image in the registry
    trials      one container, watched and removed    registry manifests: is it there, delete it
    swarm       services and their logs               nodes    devices and the labels that select them
    service_spec  a deployment as Swarm's JSON        rollout  waits until every device runs it
    words       what engines say, in a student's words
"""
