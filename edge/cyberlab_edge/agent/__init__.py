"""The lab's own program on a Pi. So far it says how the Pi is; terminal, spool and ports come with issue 4."""
