"""What can be made to break in the profile service: a module a mode."""
