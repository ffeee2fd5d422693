"""The provider fal against its stand-in and against raw responses."""
