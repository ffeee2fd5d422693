"""The provider Lumenfall against its stand-in and against raw responses."""
