"""The server side of the lab: hub wiring, lab service, workshop, ingest gateway and set-up."""
