"""What `make up` does: from a machine with nothing but packages to a running lab, and back.

`up.py` states the steps and what each needs; every other module is one noun the steps work on:

    engines     the two Docker engines: system (found or started here) and workshop (a container)
    images      the root file system and the lab's own images, rebuilt only when their content changed
    networks    three bridge networks and the input rules of the host
    containers  registry, database, workshop engine, Pis: what each is allowed
    cluster     the swarm and the simulated Pis in it
    processes   hub, lab service, ingest gateway on the host
    doctor      holds the running lab against docs/security.md
    steps       running steps in order, in parallel where they may, with their durations shown
"""
