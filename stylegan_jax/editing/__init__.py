"""What is done to codes, images and masks: the applications of the papers."""
