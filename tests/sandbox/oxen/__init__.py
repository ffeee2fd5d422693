"""Tests of the stand-in for oxen."""
