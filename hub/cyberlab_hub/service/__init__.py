"""The lab service: decides what is allowed, keeps jobs and their logs, is the only holder of the workshop."""
