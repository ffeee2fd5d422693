"""What members and moderators see, in a simulated Discord."""
