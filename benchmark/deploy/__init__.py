"""Using a kept detector: verdicts on new images, export with proof."""
