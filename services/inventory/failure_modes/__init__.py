"""What can be made to break in the inventory service: a module a mode."""
