"""What can be made to break in the DNS service: a module a mode."""
