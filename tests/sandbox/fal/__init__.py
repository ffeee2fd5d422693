"""Tests of the stand-in for fal."""
