"""fal.ai: a queue that can be streamed or polled, storage for pictures, signed webhooks."""
