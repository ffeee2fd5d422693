"""The whole bot over sockets: faults, races, kills, fail-over."""
