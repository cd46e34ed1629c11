"""What can be made to break in the payment service: a module a mode."""
