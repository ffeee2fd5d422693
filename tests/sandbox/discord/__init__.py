"""Tests of the stand-in for discord."""
