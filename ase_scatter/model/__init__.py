"""A fitted potential: the model, its file, repulsion, committee and extrapolation grade."""
