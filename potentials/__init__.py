"""Shipped models: `ScatteringCalculator("NAME")` finds NAME.json here."""
