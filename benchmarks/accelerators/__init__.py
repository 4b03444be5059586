"""What each accelerator's arithmetic makes of a network: files, places, and a page of them."""
