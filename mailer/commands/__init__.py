"""The commands, one module for each topic. ``mailer.cli`` registers them."""
