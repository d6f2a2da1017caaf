"""From labelled structures to a potential."""
