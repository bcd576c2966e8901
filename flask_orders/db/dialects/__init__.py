"""What one database needs, a file for each."""
