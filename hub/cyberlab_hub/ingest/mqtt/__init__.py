"""MQTT as a way in: what the gateway does beside the broker (Mosquitto, in ``spawner_images/mqtt``).

The broker lets a device in with its token and lets it publish below its own topic, nothing else. For each owner the
gateway has a session at the broker, which keeps what was published until the gateway acknowledges it; that it does
when the database has it. So a database that is away, or an owner who sends too fast, fills that owner's queue at the
broker (bounded, on disk), never the gateway's memory, and holds up nobody else.

    logins    who may sign in: tokens of the lab's database -> the broker's two files
    messages  what was published -> lines
    times     when a message without a time came, also when it comes again
    link      one owner's session: batches, pace, acknowledgements
    said      what only the broker's log says: denied publishes, refused logins -> the audit
    watch     what the broker says on its own topic: full queues -> the audit
    probe     whether the broker answers
    bridge    all of them, as threads of the gateway
"""
