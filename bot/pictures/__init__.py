"""Pictures: what they really are, masks, other formats, smaller files; in processes that can be killed."""
