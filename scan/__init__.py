"""What can be checked without running anything: known flaws of the dependencies, the image's recipe."""
