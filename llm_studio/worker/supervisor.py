"""The process that owns the queue and the devices."""
