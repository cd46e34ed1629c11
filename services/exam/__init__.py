"""The exam: runs of scenarios against a clock, what candidates did, and what it scored."""
