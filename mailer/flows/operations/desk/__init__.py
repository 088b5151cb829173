"""The operator's desk: who may sign in, what they see at a glance, and what they did."""
