"""Tables, pages and measurements for people: what commands print, as functions that return it."""
