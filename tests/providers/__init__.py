"""The providers against their stand-ins, and one contract over all of them."""
