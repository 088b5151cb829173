"""Addresses of the internet, and requests to them."""
