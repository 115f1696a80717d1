"""What the API and the dashboard have in common as HTTP services."""
