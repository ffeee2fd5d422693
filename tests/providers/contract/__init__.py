"""The contract of all providers: its cases, and variants of each provider."""
