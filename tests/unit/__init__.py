"""Single modules, without a process and mostly without a socket."""
