"""Where and how arrays are computed: backends, memory, threads, progress."""
