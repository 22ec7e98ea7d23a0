"""The calls of the API, one file a noun. They take apart the request and hand it on; nothing is decided here."""
