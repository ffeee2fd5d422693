"""The provider Oxen against its stand-in and against raw responses."""
