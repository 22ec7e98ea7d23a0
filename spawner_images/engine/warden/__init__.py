"""The warden: Docker's authorization plugin of the workshop engine. What no rule allows is refused.

dockerd asks before each request of its API (``AuthZPlugin.AuthZReq``, JSON over a unix socket) and refuses by itself
while nobody answers. The role is the common name of the client's certificate; dockerd has checked the certificate.

    __main__    the socket, and a JSON line in the container's log for each refusal
    asked       one request: its path, parameters and body, or why they cannot be read without doubt
    rules       the table: who may ask what
    shapes      how a rule says what a value must look like
    builds      what a build may ask
    cages       what a container, a command in it and its network may ask
    swarm       what a service, a node, a secret may ask
    ceilings    the lab's limits, from the environment

Standard library only. Written against API 1.41 (Docker 20.10) to 1.45 (26.1): a newer field or path is simply unknown.
"""
