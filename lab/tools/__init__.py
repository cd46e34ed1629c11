"""What a candidate works with: thin clients of the lab's HTTP APIs, of its DNS and of its database."""
