"""Readings into and out of InfluxDB. The gateway (`app`) faces devices, holds no Docker and runs without the hub."""
