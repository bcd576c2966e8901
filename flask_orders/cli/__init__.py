"""The commands under `flask orders`."""
