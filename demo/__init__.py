"""Two countries on one laptop: the main job, played with the real commands."""
