"""Jobs, the ledger and usage: units of work in SQL, and the engine that runs them."""
