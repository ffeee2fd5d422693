"""What people can do: members in one file, moderators in the other."""
