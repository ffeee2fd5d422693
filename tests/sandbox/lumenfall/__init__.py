"""Tests of the stand-in for lumenfall."""
