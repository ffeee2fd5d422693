"""Pictures, the processes that open them, and room for them."""
