"""What each message looks like: a file for each thing that people see."""
