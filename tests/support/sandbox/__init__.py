"""The stand-ins in tests: clients, requests and pictures for each."""
