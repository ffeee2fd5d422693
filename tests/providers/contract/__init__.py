"""The contract of all providers: its cases, and the ways to run each provider."""
