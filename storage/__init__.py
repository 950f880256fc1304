"""Where ciphertext lives: one small interface, its promises as tests, and the stores that keep them."""
