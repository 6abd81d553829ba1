"""Device meshes, jobs of several processes, and the watchdog."""
