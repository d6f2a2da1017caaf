"""Tables, pages and measurements for people."""
