"""What tests of the stand-ins need."""
