"""The parts that the stand-ins for image services share."""
