"""The chat platforms that Easel delivers to, a folder each: Discord."""
